//! Tokens for a device whose user said yes elsewhere (RFC 8628 section 3.4 and 3.5).

use super::{Given, Proven, new_grant};
use crate::clients::Client;
use crate::device::{Answer, DeviceGrant, Pace};
use crate::issuer::Issuer;
use crate::oauth::{Code, Error, Parameters};
use crate::secrets;
use crate::storage::StorageError;

pub(super) async fn prove(issuer: &Issuer, client: &Client, form: &Parameters) -> Result<Proven, Error> {
    let id = secrets::fingerprint(form.required("device_code")?);
    let device = issuer.storage.get::<DeviceGrant>(&id).map_err(Error::failed("read a device code"))?;
    let device =
        device.filter(|device| device.value.client_id == client.id && device.value.issuer == client.issuer);
    let device = device.ok_or_else(Error::invalid_grant)?;
    let now = issuer.clock.now();
    if device.value.expires <= now {
        return Err(Error::refused(Code::ExpiredToken, "The device code has expired; start again."));
    }
    match &device.value.answer {
        Answer::Pending => match issuer.polls.ask(&id, now, device.value.expires) {
            Pace::Good => Err(Error::refused(Code::AuthorizationPending, "The user has not answered yet.")),
            Pace::TooFast => {
                Err(Error::refused(Code::SlowDown, "Wait five seconds longer between two requests."))
            }
        },
        Answer::Denied => {
            let deleted = issuer.storage.delete::<DeviceGrant>(&id).await;
            deleted.map_err(Error::failed("drop a device code"))?;
            Err(Error::refused(Code::AccessDenied, "The user said no."))
        }
        Answer::Allowed { uid, epoch, authenticated } => {
            let given = Given {
                scopes: device.value.scopes.clone(),
                uid: uid.clone(),
                epoch: *epoch,
                authenticated: *authenticated,
            };
            let (grant_id, grant) = new_grant(issuer, client, given);
            let mut transaction = issuer.storage.transaction();
            transaction.delete_unchanged(&device);
            transaction.create(&grant_id, &grant).map_err(Error::failed("keep a grant"))?;
            match transaction.commit().await {
                Ok(_) => {}
                Err(StorageError::Conflict { .. }) => return Err(Error::invalid_grant()),
                Err(error) => return Err(Error::failed("keep a grant")(error)),
            }
            let scopes = grant.scopes.clone();
            Ok(Proven { id: grant_id, grant, scopes, nonce: None })
        }
    }
}

//! Deleting what an owner owns, and seeing it gone.

use kube::api::ListParams;
use kube::{Client, ResourceExt as _};

use super::{Key, Owner, Place, exactly, is_gone};
use crate::outcome::{StepError, Waiting};

/// Deletes everything an owner owns in one place; tells what is still there.
pub async fn remove(client: &Client, owner: &Owner, place: Place) -> Result<Option<Waiting>, StepError> {
    remove_selected(client, &owner.selector(), place).await
}

/// Deletes everything that labels select in one place; tells what is still there.
pub async fn remove_selected(
    client: &Client,
    selector: &str,
    place: Place,
) -> Result<Option<Waiting>, StepError> {
    let api = place.kind.api(client.clone(), place.namespace.as_deref());
    let selected = ListParams::default().labels(selector);
    let what = format!("objects of kind {}", place.kind);
    let list = || async {
        match api.list(&selected).await {
            Ok(list) => Ok(list.items),
            // A kind that is not served has no objects.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
            Err(source) => Err(StepError::read(&what, source)),
        }
    };
    let found = list().await?;
    if found.is_empty() {
        return Ok(None);
    }
    for object in found.iter().filter(|object| object.metadata.deletion_timestamp.is_none()) {
        match api.delete(&object.name_any(), &exactly(object)).await {
            Err(source) if !is_gone(&source) => return Err(StepError::delete(&what, source)),
            _ => {}
        }
    }
    let left = list().await?;
    Ok(left.first().map(|object| {
        let key = Key { kind: place.kind.clone(), namespace: object.namespace(), name: object.name_any() };
        Waiting(format!("Waiting for {key} to be deleted"))
    }))
}

//! git's smart HTTP (gitprotocol-http): a greeting by GET, then the request by POST.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode};
use url::Url;

use crate::ls_refs::{self, Greeting};
use crate::policy::Policy;
use crate::{ANSWER_MAX, ClientError, Commits, Credentials, Remote, RemoteError};

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Servers send on when a repository was renamed; more than once or twice is a circle.
const REDIRECTS_MAX: usize = 3;
const GREETING_PATH: &str = "/info/refs";
const REQUEST_TYPE: &str = "application/x-git-upload-pack-request";

pub(crate) fn client(policy: &Policy) -> Result<reqwest::Client, ClientError> {
    // Without one the builder panics; a program that has chosen its own keeps it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("git/2 (aphex/", env!("CARGO_PKG_VERSION"), ")"))
        .connect_timeout(CONNECT_PATIENCE)
        .dns_resolver(Arc::new(Resolver(policy.clone())))
        // Each is looked at here, and a proxy would connect to what it was not told to.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(ClientError)
}

/// Looks names up for connections; gives only addresses that may be asked.
struct Resolver(Policy);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0.clone();
        Box::pin(async move {
            let addresses = policy.resolve(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

pub(crate) async fn branches(
    http: &reqwest::Client,
    policy: &Policy,
    url: &Url,
    credentials: Option<&Credentials>,
    branches: &[String],
) -> Result<Commits, RemoteError> {
    let asked = Asked { http, policy, origin: url, credentials };
    let (base, response) = asked.greeting(url).await?;
    let format = match ls_refs::greeting(&body(response).await?, branches)? {
        Some(Greeting::Told(commits)) => return Ok(commits),
        Some(Greeting::Capable(format)) => format,
        None => return Err(RemoteError::Protocol("it is not a greeting")),
    };
    let request = asked
        .request(http.post(below(&base, "/git-upload-pack")), &base)
        .header(CONTENT_TYPE, REQUEST_TYPE)
        .header(ACCEPT, "application/x-git-upload-pack-result")
        .body(ls_refs::request(format, branches));
    let response = asked.judged(send(request, &base).await?)?;
    ls_refs::answer(&body(response).await?, branches)?.ok_or(RemoteError::Protocol("its list has no end"))
}

/// One remote that is asked.
struct Asked<'a> {
    http: &'a reqwest::Client,
    policy: &'a Policy,
    origin: &'a Url,
    credentials: Option<&'a Credentials>,
}

impl Asked<'_> {
    /// The greeting, and where it came from in the end.
    async fn greeting(&self, url: &Url) -> Result<(Url, Response), RemoteError> {
        let mut base = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut address = below(&base, GREETING_PATH);
            address.set_query(Some("service=git-upload-pack"));
            let response = send(self.request(self.http.get(address.clone()), &base), &base).await?;
            if !response.status().is_redirection() {
                return Ok((base, self.judged(response)?));
            }
            base = self.next(&address, response.headers())?;
        }
        Err(RemoteError::Redirect("too often"))
    }

    /// Where a redirect leads, if it leads to a repository that may be asked.
    fn next(&self, from: &Url, headers: &HeaderMap) -> Result<Url, RemoteError> {
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let mut to =
            location.and_then(|location| from.join(location).ok()).ok_or(RemoteError::Redirect("nowhere"))?;
        let path = to.path().strip_suffix(GREETING_PATH).ok_or(RemoteError::Redirect("to no repository"))?;
        let path = path.to_owned();
        to.set_path(&path);
        to.set_query(None);
        to.set_fragment(None);
        if from.scheme() == "https" && to.scheme() != "https" {
            return Err(RemoteError::Redirect("away from https"));
        }
        let remote: Remote = to.as_str().parse().map_err(|_| RemoteError::Redirect("to no repository"))?;
        self.policy.permit(&remote)?;
        match remote {
            Remote::Http(url) => Ok(url),
            Remote::Git { .. } | Remote::Ssh(_) => Err(RemoteError::Redirect("away from HTTP")),
        }
    }

    /// What every request has; credentials only go to the origin they were given for.
    fn request(&self, request: RequestBuilder, base: &Url) -> RequestBuilder {
        let request = request.header("git-protocol", HeaderValue::from_static("version=2"));
        match self.credentials.filter(|_| base.origin() == self.origin.origin()) {
            Some(Credentials::Basic { username, password }) => request.basic_auth(username, Some(password)),
            Some(Credentials::Key { .. }) | None => request,
        }
    }

    fn judged(&self, response: Response) -> Result<Response, RemoteError> {
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.credentials.is_some() => {
                Err(RemoteError::Refused)
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RemoteError::Anonymous),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(RemoteError::NotFound),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let retry_after = seconds.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
                Err(RemoteError::Busy { retry_after })
            }
            other => Err(RemoteError::Status(other.as_u16())),
        }
    }
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

async fn send(request: RequestBuilder, base: &Url) -> Result<Response, RemoteError> {
    let host = || base.host_str().unwrap_or_default().to_owned();
    let error = match request.send().await {
        Ok(response) => return Ok(response),
        Err(error) => error.without_url(),
    };
    // The resolver's own words come wrapped in those of everything that called it.
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        match current.downcast_ref::<RemoteError>() {
            Some(RemoteError::Address { host, address }) => {
                return Err(RemoteError::Address { host: host.clone(), address: address.clone() });
            }
            Some(RemoteError::Resolve { host, source }) => {
                let source = std::io::Error::new(source.kind(), source.to_string());
                return Err(RemoteError::Resolve { host: host.clone(), source });
            }
            _ => cause = current.source(),
        }
    }
    Err(RemoteError::Connect { host: host(), source: Box::new(error) })
}

/// The body, as far as it may go.
async fn body(mut response: Response) -> Result<Vec<u8>, RemoteError> {
    let mut bytes = Vec::new();
    loop {
        let chunk =
            response.chunk().await.map_err(|source| RemoteError::Read(Box::new(source.without_url())))?;
        let Some(chunk) = chunk else { return Ok(bytes) };
        if bytes.len() + chunk.len() > ANSWER_MAX {
            return Err(RemoteError::TooLarge(ANSWER_MAX));
        }
        bytes.extend_from_slice(&chunk);
    }
}

//! What people have to do after an installation.

use std::fmt::Write as _;
use std::path::Path;

use super::Site;

/// The steps, with this installation's names.
pub(super) fn steps(site: &Site, folder: Option<&Path>, left_out: &[&str]) -> String {
    let domain = &site.domain;
    let mut text = "\nWhat to do next:\n".to_owned();
    let mut number = 0;
    let mut step = |title: &str, lines: &[String]| {
        number += 1;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{number}. {title}");
        for line in lines {
            let _ = writeln!(text, "     {line}");
        }
    };
    if let Some(folder) = folder {
        let apply = |part: &str| format!("kubectl apply --server-side -k {}", folder.join(part).display());
        step(
            "Apply it; the last two where Argo CD and Tekton's Dashboard are installed:",
            &[apply("auth"), apply("argocd"), apply("tekton-dashboard")],
        );
    }
    if !left_out.is_empty() {
        step(&format!("Left out: {}. Install it, and run the same command again.", left_out.join(", ")), &[]);
    }
    step(
        "Names: lead these to the cluster's Ingress, for people, pods and the API server alike:",
        &[format!("dex.{domain}  auth.{domain}  tekton.{domain}  argocd.{domain}")],
    );
    match &site.cluster_issuer {
        Some(issuer) => step(
            &format!("Certificates: ClusterIssuer {issuer} makes them; look with"),
            &["kubectl get certificates -A".to_owned()],
        ),
        None => step(
            "Certificates: put yours into these Secrets:",
            &["auth-system dex-tls", "auth-system authentik-tls", "tekton-pipelines tekton-dashboard-tls"]
                .map(|place| format!("kubectl create secret tls -n {place} --cert=FILE --key=FILE")),
        ),
    }
    let mut flags = vec![
        format!("--oidc-issuer-url=https://dex.{domain}"),
        "--oidc-client-id=kubernetes".to_owned(),
        "--oidc-username-claim=email".to_owned(),
        "--oidc-groups-claim=groups".to_owned(),
    ];
    if site.ca.is_some() {
        flags.push("--oidc-ca-file=FILE    # the certificate given with --ca".to_owned());
    }
    step("kube-apiserver: start it with these flags (kind: kind-cluster-config.yaml, from --out):", &flags);
    step(
        "Wait; after a change of an earlier installation restart Dex first:",
        &[
            "kubectl rollout restart -n auth-system deployment/dex".to_owned(),
            "kubectl rollout status -n auth-system deployment/authentik-server deployment/authentik-worker deployment/dex".to_owned(),
        ],
    );
    step(
        &format!(
            "Log in at https://auth.{domain} as admin, change the password, add people to groups. The first password:"
        ),
        &["kubectl get secret -n auth-system authentik -o jsonpath='{.data.bootstrap-password}' | base64 -d"
            .to_owned()],
    );
    step("Log in from the command line:", &[format!("aphex login --issuer https://dex.{domain}")]);
    text.push_str("What each group may do: docs/identity.md");
    text
}

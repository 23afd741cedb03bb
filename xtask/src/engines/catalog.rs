//! Which engines there are, and which programs each builds.

use anyhow::bail;

/// One Go module below `engines/`.
#[derive(Debug)]
pub(super) struct Engine {
    /// Its folder.
    pub(super) name: &'static str,
    /// What it is good for, in a few words.
    pub(super) about: &'static str,
    /// Built by `cargo xtask engines` without names.
    pub(super) usual: bool,
    /// What it builds.
    pub(super) programs: &'static [Program],
}

/// One program of an engine.
#[derive(Debug)]
pub(super) struct Program {
    /// The name of the built file.
    pub(super) name: &'static str,
    /// The Go package with its `main`.
    pub(super) package: &'static str,
    /// The module whose pinned version is the program's.
    pub(super) module: &'static str,
    /// How it is built.
    pub(super) form: Form,
}

/// How a program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As the toolchain likes.
    Plain,
    /// Without C, so that it runs in an image that has nothing else.
    Static,
    /// The tests of a package, as a program.
    Tests,
}

const KUBERNETES: &str = "k8s.io/kubernetes";
const KUBECTL: &str = "k8s.io/kubectl";
const PIPELINE: &str = "github.com/tektoncd/pipeline";
const TRIGGERS: &str = "github.com/tektoncd/triggers";

/// What `cargo xtask test` builds before it runs; a test that uses another program adds it here.
pub(super) const TESTED: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kubectl",
    "kubectl-1.33",
    "kubectl-1.34",
    "kubectl-1.36",
    "kubectl-1.37",
    "client-go",
    "kubelogin",
    "oidc-session",
    "tekton-pipeline-controller",
    "tekton-triggers-eventlistenersink",
    "tekton-triggers-interceptors",
];

/// Every engine, in the order of building.
pub(super) const ENGINES: &[Engine] = &[
    Engine {
        name: "etcd",
        about: "Kubernetes' store",
        usual: true,
        programs: &[plain("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3")],
    },
    Engine {
        name: "kubernetes",
        about: "API server, controllers, node and kubectl",
        usual: true,
        programs: &[
            plain("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", KUBERNETES),
            plain("kubectl", "k8s.io/kubernetes/cmd/kubectl", KUBERNETES),
            plain("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", KUBERNETES),
            plain("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", KUBERNETES),
            plain("kubelet", "k8s.io/kubernetes/cmd/kubelet", KUBERNETES),
            plain("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy", KUBERNETES),
        ],
    },
    Engine {
        name: "coredns",
        about: "names of services in a cluster",
        usual: true,
        programs: &[plain("coredns", "github.com/coredns/coredns", "github.com/coredns/coredns")],
    },
    Engine {
        name: "tekton",
        about: "Pipelines and Triggers, for images",
        usual: true,
        programs: &[
            image("tekton-pipeline-controller", "github.com/tektoncd/pipeline/cmd/controller", PIPELINE),
            image("tekton-pipeline-webhook", "github.com/tektoncd/pipeline/cmd/webhook", PIPELINE),
            image("tekton-pipeline-entrypoint", "github.com/tektoncd/pipeline/cmd/entrypoint", PIPELINE),
            image("tekton-pipeline-events", "github.com/tektoncd/pipeline/cmd/events", PIPELINE),
            image("tekton-pipeline-nop", "github.com/tektoncd/pipeline/cmd/nop", PIPELINE),
            image("tekton-pipeline-resolvers", "github.com/tektoncd/pipeline/cmd/resolvers", PIPELINE),
            image(
                "tekton-pipeline-sidecarlogresults",
                "github.com/tektoncd/pipeline/cmd/sidecarlogresults",
                PIPELINE,
            ),
            image(
                "tekton-pipeline-workingdirinit",
                "github.com/tektoncd/pipeline/cmd/workingdirinit",
                PIPELINE,
            ),
            image("tekton-triggers-controller", "github.com/tektoncd/triggers/cmd/controller", TRIGGERS),
            image("tekton-triggers-webhook", "github.com/tektoncd/triggers/cmd/webhook", TRIGGERS),
            image("tekton-triggers-interceptors", "github.com/tektoncd/triggers/cmd/interceptors", TRIGGERS),
            image(
                "tekton-triggers-eventlistenersink",
                "github.com/tektoncd/triggers/cmd/eventlistenersink",
                TRIGGERS,
            ),
        ],
    },
    Engine {
        name: "conformance",
        about: "Kubernetes' own end-to-end suite",
        usual: false,
        programs: &[Program {
            name: "e2e.test",
            package: "k8s.io/kubernetes/test/e2e",
            module: KUBERNETES,
            form: Form::Tests,
        }],
    },
    Engine {
        name: "external-secrets",
        about: "External Secrets Operator, for an image",
        usual: false,
        programs: &[image(
            "external-secrets",
            "github.com/external-secrets/external-secrets",
            "github.com/external-secrets/external-secrets",
        )],
    },
    Engine {
        name: "client-go",
        about: "a session with Kubernetes' own Go client",
        usual: false,
        programs: &[plain("client-go", ".", "k8s.io/client-go")],
    },
    Engine {
        name: "oidc",
        about: "a session with the OpenID libraries of kube-apiserver",
        usual: false,
        programs: &[plain("oidc-session", ".", "github.com/coreos/go-oidc/v3")],
    },
    Engine {
        name: "kubelogin",
        about: "kubectl oidc-login, the credential plugin of OpenID Connect",
        usual: false,
        programs: &[plain("kubelogin", "github.com/int128/kubelogin", "github.com/int128/kubelogin")],
    },
    kubectl("kubectl-1.33", &[plain("kubectl-1.33", ".", KUBECTL)]),
    kubectl("kubectl-1.34", &[plain("kubectl-1.34", ".", KUBECTL)]),
    kubectl("kubectl-1.36", &[plain("kubectl-1.36", ".", KUBECTL)]),
    kubectl("kubectl-1.37", &[plain("kubectl-1.37", ".", KUBECTL)]),
];

const fn plain(name: &'static str, package: &'static str, module: &'static str) -> Program {
    Program { name, package, module, form: Form::Plain }
}

const fn image(name: &'static str, package: &'static str, module: &'static str) -> Program {
    Program { name, package, module, form: Form::Static }
}

const fn kubectl(name: &'static str, programs: &'static [Program]) -> Engine {
    Engine { name, about: "kubectl of another minor version", usual: false, programs }
}

/// The engine by its name.
pub(super) fn engine(name: &str) -> anyhow::Result<&'static Engine> {
    match ENGINES.iter().find(|engine| engine.name == name) {
        Some(engine) => Ok(engine),
        None => bail!("there is no engine {name:?}; there are: {}", names()),
    }
}

/// The program by its name, with its engine.
pub(super) fn program(name: &str) -> Option<(&'static Engine, &'static Program)> {
    all().find(|(_, program)| program.name == name)
}

/// Every program with its engine.
pub(super) fn all() -> impl Iterator<Item = (&'static Engine, &'static Program)> {
    ENGINES.iter().flat_map(|engine| engine.programs.iter().map(move |program| (engine, program)))
}

/// The programs that these names of engines and programs mean; no names mean the usual ones.
pub(super) fn select(names: &[String]) -> anyhow::Result<Vec<(&'static Engine, &'static Program)>> {
    if names.is_empty() {
        return Ok(all().filter(|(engine, _)| engine.usual).collect());
    }
    let is = |name: &String, one: &str| name == "all" || name == one;
    for name in names {
        let known = all().any(|(engine, program)| is(name, engine.name) || is(name, program.name));
        if !known {
            bail!("there is no engine or program {name:?}; there are: all, {}", self::names());
        }
    }
    Ok(all()
        .filter(|(engine, program)| names.iter().any(|name| is(name, engine.name) || is(name, program.name)))
        .collect())
}

fn names() -> String {
    ENGINES.iter().map(|engine| engine.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(names: &[&str]) -> Vec<&'static str> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        select(&names).unwrap().into_iter().map(|(_, program)| program.name).collect()
    }

    #[test]
    fn names_mean_engines_and_single_programs() {
        assert_eq!(selected(&["kubelet", "etcd"]), ["etcd", "kubelet"]);
        assert_eq!(selected(&["kubernetes"]).len(), 6);
        assert_eq!(selected(&["all"]).len(), all().count());
        assert!(selected(&[]).contains(&"coredns"));
        assert!(!selected(&[]).contains(&"e2e.test"));
        let error = select(&["kubelt".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("\"kubelt\"") && error.contains("external-secrets"), "{error}");
    }

    #[test]
    fn programs_have_names_of_their_own() {
        let mut names: Vec<&str> = all().map(|(_, program)| program.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(TESTED.iter().all(|name| program(name).is_some()));
    }
}

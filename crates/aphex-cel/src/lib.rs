//! CEL as Kubernetes and Tekton speak it, behind guards: bounded size, depth, cost and stack

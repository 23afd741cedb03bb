// Program client-go uses Kubernetes' own Go client as controllers do, against the server that a kubeconfig names, and
// tells for each habit whether the server bore it.
//
//	client-go                  every check; ends with 1 if one fails
//	client-go CHECK...         these
//	client-go -messages FILE   writes the protobuf messages of the stable API, as data; needs no server
//	client-go -record FOLDER   writes protobuf bodies and what they mean in JSON; needs no server
//
// The kubeconfig is that of $KUBECONFIG, and the user in it must be allowed everything.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// patience is far beyond what a check takes: only what never comes fails.
const patience = time.Minute

// A check is one habit of clients; it works in a namespace of its own.
type check struct {
	name string
	run  func(context.Context, *server) error
}

var checks = []check{
	{"typed errors", typedErrors},
	{"protobuf bodies", protobufBodies},
	{"discovery and REST mapping", discovery},
	{"pages", pages},
	{"informer", informer},
	{"informer without watch lists", informerByList},
	{"watch list", watchList},
	{"bookmarks", bookmarks},
	{"expired revision", expiredRevision},
	{"retry on conflict", retryOnConflict},
	{"apply configurations", applyConfigurations},
	{"dynamic client", dynamicClient},
	{"metadata client", metadataClient},
	{"tables", tables},
	{"scale client", scaleClient},
	{"events", events},
	{"leader election", leaderElection},
	{"service account tokens", tokens},
	{"deletion", deletion},
}

func main() {
	record := flag.String("record", "", "write protobuf bodies into this `folder`")
	describe := flag.String("messages", "", "write the protobuf messages into this `file`")
	flag.Parse()
	// The reflector tells of watches that end, which here they shall.
	klog.SetLogger(logr.Discard())
	if err := run(*record, *describe, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "client-go:", err)
		os.Exit(1)
	}
}

func run(record, describe string, wanted []string) error {
	if record != "" {
		return recordBodies(record)
	}
	if describe != "" {
		return writeMessages(describe)
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	failed := 0
	for _, check := range checks {
		if len(wanted) > 0 && !slices.Contains(wanted, check.name) {
			continue
		}
		started := time.Now()
		if err := attempt(check, config); err != nil {
			failed++
			fmt.Printf("FAILED %s: %v\n", check.name, err)
			continue
		}
		fmt.Printf("ok %s (%.2f s)\n", check.name, time.Since(started).Seconds())
	}
	if failed > 0 {
		return fmt.Errorf("%d checks failed", failed)
	}
	return nil
}

// want gives an error when something is not as it must be.
func want[T comparable](what string, got, wanted T) error {
	if got != wanted {
		return fmt.Errorf("%s: got %v, wanted %v", what, got, wanted)
	}
	return nil
}

// all joins the errors of steps, none of which depends on another.
func all(errs ...error) error { return errors.Join(errs...) }

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// source lists and watches the config maps of a namespace, and counts how.
type source struct {
	server *server
	tweak  func(*metav1.ListOptions)

	lock           sync.Mutex
	lists, watches int
	initial        int
	expired        int
}

func (s *source) count(counter *int) {
	s.lock.Lock()
	defer s.lock.Unlock()
	*counter++
}

func (s *source) counts() (lists, watches, initial, expired int) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.lists, s.watches, s.initial, s.expired
}

func (s *source) listWatch() *cache.ListWatch {
	maps := s.server.client.CoreV1().ConfigMaps(s.server.namespace)
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			s.count(&s.lists)
			return maps.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			s.count(&s.watches)
			if ptr.Deref(options.SendInitialEvents, false) {
				s.count(&s.initial)
			}
			s.tweak(&options)
			return maps.Watch(ctx, options)
		},
	}
}

// follow keeps a copy of the config maps with an informer, while `during` changes them.
func (s *source) follow(ctx context.Context, lw cache.ListerWatcher, during func(cache.Store) error) error {
	ctx, stop := context.WithCancel(ctx)
	informer := cache.NewSharedIndexInformer(lw, &corev1.ConfigMap{}, 0, cache.Indexers{})
	var group sync.WaitGroup
	group.Go(func() { informer.RunWithContext(ctx) })
	defer group.Wait()
	defer stop()
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return fmt.Errorf("the informer did not fill its copy")
	}
	return during(informer.GetStore())
}

// sees waits until the copy has an object with this data, or has it no longer.
func (s *server) sees(ctx context.Context, store cache.Store, name, value string) error {
	what := fmt.Sprintf("the copy has %s=%q", name, value)
	return eventually(ctx, what, func(context.Context) (bool, error) {
		found, there, err := store.GetByKey(s.namespace + "/" + name)
		if err != nil || !there {
			return value == "" && !there, err
		}
		return found.(*corev1.ConfigMap).Data["value"] == value, nil
	})
}

// changes makes, changes and deletes objects, and looks for each in the copy.
func (s *server) changes(ctx context.Context, store cache.Store) error {
	maps := s.client.CoreV1().ConfigMaps(s.namespace)
	if _, err := maps.Create(ctx, configMap("seen", map[string]string{"value": "1"}), metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := s.sees(ctx, store, "seen", "1"); err != nil {
		return err
	}
	if _, err := maps.Update(ctx, configMap("seen", map[string]string{"value": "2"}), metav1.UpdateOptions{}); err != nil {
		return err
	}
	if err := s.sees(ctx, store, "seen", "2"); err != nil {
		return err
	}
	if err := maps.Delete(ctx, "seen", metav1.DeleteOptions{}); err != nil {
		return err
	}
	return s.sees(ctx, store, "seen", "")
}

// followed runs an informer whose watches last a second, over the end of at least two of them.
func followed(ctx context.Context, s *server, src *source, wrap func(*cache.ListWatch) cache.ListerWatcher) error {
	maps := s.client.CoreV1().ConfigMaps(s.namespace)
	if _, err := maps.Create(ctx, configMap("before", map[string]string{"value": "old"}), metav1.CreateOptions{}); err != nil {
		return err
	}
	src.tweak = func(options *metav1.ListOptions) { options.TimeoutSeconds = ptr.To[int64](1) }
	return src.follow(ctx, wrap(src.listWatch()), func(store cache.Store) error {
		if err := s.sees(ctx, store, "before", "old"); err != nil {
			return err
		}
		if err := s.changes(ctx, store); err != nil {
			return err
		}
		if err := eventually(ctx, "two watches ended and were taken up", func(context.Context) (bool, error) {
			_, watches, _, _ := src.counts()
			return watches >= 3, nil
		}); err != nil {
			return err
		}
		return s.changes(ctx, store)
	})
}

// informer: the way of client-go 1.35, a watch that begins with what is there. A list would be the fallback.
func informer(ctx context.Context, s *server) error {
	src := &source{server: s}
	wrap := func(lw *cache.ListWatch) cache.ListerWatcher {
		return cache.ToListWatcherWithWatchListSemantics(lw, s.client)
	}
	if err := followed(ctx, s, src, wrap); err != nil {
		return err
	}
	lists, _, initial, _ := src.counts()
	return all(want("lists", lists, 0), want("watches that begin with what is there", initial, 1))
}

// withoutWatchLists is a client that does not know of watch lists.
type withoutWatchLists struct{}

func (withoutWatchLists) IsWatchListSemanticsUnSupported() bool { return true }

// informerByList: the way of older clients, a list and then a watch from its revision.
func informerByList(ctx context.Context, s *server) error {
	src := &source{server: s}
	wrap := func(lw *cache.ListWatch) cache.ListerWatcher {
		return cache.ToListWatcherWithWatchListSemantics(lw, withoutWatchLists{})
	}
	if err := followed(ctx, s, src, wrap); err != nil {
		return err
	}
	lists, _, initial, _ := src.counts()
	return all(want("lists", lists, 1), want("watches that begin with what is there", initial, 0))
}

// watchList: what is there comes as added objects, then a bookmark says that this was all.
func watchList(ctx context.Context, s *server) error {
	maps := s.client.CoreV1().ConfigMaps(s.namespace)
	for i := range 3 {
		if _, err := maps.Create(ctx, configMap(fmt.Sprintf("there-%d", i), nil), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	stream, err := maps.Watch(ctx, metav1.ListOptions{
		SendInitialEvents:    ptr.To(true),
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		AllowWatchBookmarks:  true,
		FieldSelector:        "metadata.name!=kube-root-ca.crt",
	})
	if err != nil {
		return err
	}
	defer stream.Stop()
	for i := range 3 {
		event, err := next(ctx, stream)
		if err != nil {
			return err
		}
		if err := all(want("event", event.Type, watch.Added), want("object", name(event), fmt.Sprintf("there-%d", i))); err != nil {
			return err
		}
	}
	event, err := next(ctx, stream)
	if err != nil {
		return err
	}
	object, err := meta.Accessor(event.Object)
	if err != nil {
		return err
	}
	if err := all(
		want("event after all objects", event.Type, watch.Bookmark),
		want("its mark", object.GetAnnotations()[metav1.InitialEventsAnnotationKey], "true"),
	); err != nil {
		return err
	}
	if err := maps.Delete(ctx, "there-1", metav1.DeleteOptions{}); err != nil {
		return err
	}
	event, err = next(ctx, stream)
	if err != nil {
		return err
	}
	if err := all(want("event", event.Type, watch.Deleted), want("object", name(event), "there-1")); err != nil {
		return err
	}
	_, err = maps.Watch(ctx, metav1.ListOptions{SendInitialEvents: ptr.To(true)})
	return want("initial events without a match rule are refused", apierrors.IsInvalid(err), true)
}

// bookmarks: a quiet watch tells how far it is before it ends, and can be taken up from there.
func bookmarks(ctx context.Context, s *server) error {
	maps := s.client.CoreV1().ConfigMaps(s.namespace)
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	// Elsewhere the world goes on: a bookmark must be newer than the list.
	if _, err := s.client.CoreV1().Secrets(s.namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"},
	}, metav1.CreateOptions{}); err != nil {
		return err
	}
	stream, err := maps.Watch(ctx, metav1.ListOptions{
		ResourceVersion: list.ResourceVersion, AllowWatchBookmarks: true, TimeoutSeconds: ptr.To[int64](3),
		FieldSelector: "metadata.name=quiet",
	})
	if err != nil {
		return err
	}
	defer stream.Stop()
	event, err := next(ctx, stream)
	if err != nil {
		return err
	}
	object, err := meta.Accessor(event.Object)
	if err != nil {
		return err
	}
	mark := object.GetResourceVersion()
	if err := all(
		want("event", event.Type, watch.Bookmark),
		want("the bookmark is newer", mark > list.ResourceVersion || len(mark) > len(list.ResourceVersion), true),
		want("a bookmark has no name", object.GetName(), ""),
	); err != nil {
		return err
	}
	again, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: mark, FieldSelector: "metadata.name=quiet"})
	if err != nil {
		return err
	}
	defer again.Stop()
	if _, err := maps.Create(ctx, configMap("quiet", nil), metav1.CreateOptions{}); err != nil {
		return err
	}
	event, err = next(ctx, again)
	if err != nil {
		return err
	}
	return all(want("event", event.Type, watch.Added), want("object", name(event), "quiet"))
}

// expiredRevision: a watch from before all history ends with 410, and an informer that meets it starts over. The server
// must not keep history for longer than a minute.
func expiredRevision(ctx context.Context, s *server) error {
	maps := s.client.CoreV1().ConfigMaps(s.namespace)
	if _, err := maps.Create(ctx, configMap("busy", nil), metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := eventually(ctx, "the first revision has expired", func(ctx context.Context) (bool, error) {
		now := map[string]string{"value": time.Now().String()}
		if _, err := maps.Update(ctx, configMap("busy", now), metav1.UpdateOptions{}); err != nil {
			return false, err
		}
		return isExpired(ctx, s, "1")
	}); err != nil {
		return err
	}
	src := &source{server: s}
	src.tweak = func(options *metav1.ListOptions) {
		src.lock.Lock()
		defer src.lock.Unlock()
		// The second watch, which takes up the first, is sent into the past once.
		options.TimeoutSeconds = ptr.To[int64](1)
		if src.watches == 2 {
			src.expired++
			options.ResourceVersion = "1"
		}
	}
	wrap := cache.ToListWatcherWithWatchListSemantics(src.listWatch(), withoutWatchLists{})
	return src.follow(ctx, wrap, func(store cache.Store) error {
		if err := eventually(ctx, "the informer lists again", func(context.Context) (bool, error) {
			lists, _, _, expired := src.counts()
			return lists == 2 && expired == 1, nil
		}); err != nil {
			return err
		}
		return s.changes(ctx, store)
	})
}

// isExpired asks for what happened since a revision.
func isExpired(ctx context.Context, s *server, revision string) (bool, error) {
	stream, err := s.client.CoreV1().ConfigMaps(s.namespace).Watch(ctx, metav1.ListOptions{
		ResourceVersion: revision, FieldSelector: "metadata.name=nobody", TimeoutSeconds: ptr.To[int64](1),
	})
	if err != nil {
		return apierrors.IsResourceExpired(err) || apierrors.IsGone(err), nil
	}
	defer stream.Stop()
	for event := range stream.ResultChan() {
		refusal := apierrors.FromObject(event.Object)
		return apierrors.IsResourceExpired(refusal) || apierrors.IsGone(refusal), nil
	}
	return false, nil
}

// next is the next event of a watch, which must not end before.
func next(ctx context.Context, stream watch.Interface) (watch.Event, error) {
	select {
	case event, open := <-stream.ResultChan():
		if !open {
			return event, fmt.Errorf("the watch ended before the event that was waited for")
		}
		return event, nil
	case <-time.After(patience / 2):
		return watch.Event{}, fmt.Errorf("no event in %s", patience/2)
	case <-ctx.Done():
		return watch.Event{}, ctx.Err()
	}
}

func name(event watch.Event) string {
	object, err := meta.Accessor(event.Object)
	if err != nil {
		return fmt.Sprintf("%T", event.Object)
	}
	return object.GetName()
}

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	eventsrecord "k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/ptr"
)

// events: both recorders, of the core group and of events.k8s.io, and the same events read through either.
func events(ctx context.Context, s *server) error {
	about, err := s.client.CoreV1().ConfigMaps(s.namespace).Create(ctx, configMap("subject", nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	older := record.NewBroadcaster(record.WithContext(ctx))
	defer older.Shutdown()
	older.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: s.client.CoreV1().Events("")})
	recorder := older.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "older"})
	recorder.Event(about, corev1.EventTypeNormal, "Seen", "seen by the older one")
	recorder.Event(about, corev1.EventTypeNormal, "Seen", "seen by the older one")
	newer := eventsrecord.NewBroadcaster(&eventsrecord.EventSinkImpl{Interface: s.client.EventsV1()})
	defer newer.Shutdown()
	if err := newer.StartRecordingToSinkWithContext(ctx); err != nil {
		return err
	}
	newer.NewRecorder(scheme.Scheme, "newer.example.com/controller").
		Eventf(about, nil, corev1.EventTypeWarning, "Looked", "Looking", "looked at by the %s one", "newer")
	err = eventually(ctx, "the older event counts two", func(ctx context.Context) (bool, error) {
		list, err := s.client.CoreV1().Events(s.namespace).List(ctx, metav1.ListOptions{
			FieldSelector: "involvedObject.name=subject,reason=Seen",
		})
		return err == nil && len(list.Items) == 1 && list.Items[0].Count == 2, err
	})
	if err != nil {
		return err
	}
	return eventually(ctx, "both events are in events.k8s.io", func(ctx context.Context) (bool, error) {
		list, err := s.client.EventsV1().Events(s.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		notes := map[string]string{}
		for _, event := range list.Items {
			notes[event.Reason] = event.Note
		}
		return notes["Seen"] == "seen by the older one" && notes["Looked"] == "looked at by the newer one", nil
	})
}

// leaderElection: of two candidates one leads, and when it lets go the other does.
func leaderElection(ctx context.Context, s *server) error {
	leaders, seen := make(chan string, 2), make(chan string, 8)
	var group sync.WaitGroup
	defer group.Wait()
	candidate := func(identity string) (context.CancelFunc, error) {
		running, stop := context.WithCancel(ctx)
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: &resourcelock.LeaseLock{
				LeaseMeta:  metav1.ObjectMeta{Namespace: s.namespace, Name: "lock"},
				Client:     s.client.CoordinationV1(),
				LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
			},
			LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond,
			ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { leaders <- identity },
				OnStoppedLeading: func() {},
				OnNewLeader:      func(leader string) { seen <- identity + " sees " + leader },
			},
		})
		if err != nil {
			stop()
			return nil, err
		}
		group.Go(func() { elector.Run(running) })
		return stop, nil
	}
	wait := func(what string, told <-chan string, wanted string) error {
		for {
			select {
			case got := <-told:
				if got == wanted {
					return nil
				}
			case <-time.After(patience / 2):
				return fmt.Errorf("waited in vain: %s", what)
			}
		}
	}
	stopFirst, err := candidate("first")
	if err != nil {
		return err
	}
	defer stopFirst()
	if err := wait("the first leads", leaders, "first"); err != nil {
		return err
	}
	stopSecond, err := candidate("second")
	if err != nil {
		return err
	}
	defer stopSecond()
	if err := wait("the second sees who leads", seen, "second sees first"); err != nil {
		return err
	}
	stopFirst()
	if err := wait("the second leads", leaders, "second"); err != nil {
		return err
	}
	lease, err := s.client.CoordinationV1().Leases(s.namespace).Get(ctx, "lock", metav1.GetOptions{})
	if err != nil {
		return err
	}
	return all(
		want("holder in the lease", ptr.Deref(lease.Spec.HolderIdentity, ""), "second"),
		want("transitions", ptr.Deref(lease.Spec.LeaseTransitions, 0), 1),
	)
}

// tokens: a service account's token is taken, says who it is, and may what roles say.
func tokens(ctx context.Context, s *server) error {
	accounts := s.client.CoreV1().ServiceAccounts(s.namespace)
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	granted, err := accounts.CreateToken(ctx, "robot", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](600)},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	review := func(token string) (*authenticationv1.TokenReview, error) {
		return s.client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
			Spec: authenticationv1.TokenReviewSpec{Token: token},
		}, metav1.CreateOptions{})
	}
	good, err := review(granted.Status.Token)
	if err != nil {
		return err
	}
	bad, err := review(granted.Status.Token + "x")
	if err != nil {
		return err
	}
	own := rest.AnonymousClientConfig(s.config)
	own.BearerToken = granted.Status.Token
	robot, err := connect(own)
	if err != nil {
		return err
	}
	self, err := robot.client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, before := robot.client.CoreV1().ConfigMaps(s.namespace).List(ctx, metav1.ListOptions{})
	if _, err := s.client.RbacV1().RoleBindings(s.namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "robot"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: "robot"}},
	}, metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := eventually(ctx, "the role counts", func(ctx context.Context) (bool, error) {
		_, err := robot.client.CoreV1().ConfigMaps(s.namespace).List(ctx, metav1.ListOptions{})
		return err == nil, nil
	}); err != nil {
		return err
	}
	_, after := robot.client.CoreV1().Secrets(s.namespace).List(ctx, metav1.ListOptions{})
	if err := accounts.Delete(ctx, "robot", metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := eventually(ctx, "a deleted account's token is refused", func(ctx context.Context) (bool, error) {
		_, err := robot.client.CoreV1().ConfigMaps(s.namespace).List(ctx, metav1.ListOptions{})
		return apierrors.IsUnauthorized(err), nil
	}); err != nil {
		return err
	}
	who := "system:serviceaccount:" + s.namespace + ":robot"
	return all(
		want("the token is good", good.Status.Authenticated, true),
		want("its user", good.Status.User.Username, who),
		want("a broken token is good", bad.Status.Authenticated, false),
		want("who it says it is", self.Status.UserInfo.Username, who),
		want("before the role it is Forbidden", apierrors.IsForbidden(before), true),
		want("viewers see no secrets", apierrors.IsForbidden(after), true),
	)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/pager"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
)

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(replicas),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "main", Image: "registry.example.com/app:1",
					Ports:     []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
					Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}},
					LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
						HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromString("http")},
					}},
				}}},
			},
		},
	}
}

// typedErrors: refusals are told apart by the helpers of apimachinery, and name their object.
func typedErrors(ctx context.Context, s *server) error {
	maps := s.client.CoreV1().ConfigMaps(s.namespace)
	_, missing := maps.Get(ctx, "nobody", metav1.GetOptions{})
	first, err := maps.Create(ctx, configMap("one", nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, twice := maps.Create(ctx, configMap("one", nil), metav1.CreateOptions{})
	changed := first.DeepCopy()
	changed.Data = map[string]string{"a": "b"}
	if _, err := maps.Update(ctx, changed, metav1.UpdateOptions{}); err != nil {
		return err
	}
	_, stale := maps.Update(ctx, changed, metav1.UpdateOptions{})
	_, invalid := maps.Create(ctx, configMap("No Name", nil), metav1.CreateOptions{})
	nobody := *s.config
	nobody.Impersonate.UserName = "nobody"
	other, err := connect(&nobody)
	if err != nil {
		return err
	}
	_, forbidden := other.client.CoreV1().Secrets(s.namespace).List(ctx, metav1.ListOptions{})
	uid := types.UID("00000000-0000-0000-0000-000000000000")
	precondition := maps.Delete(ctx, "one", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	var status apierrors.APIStatus
	if !errors.As(invalid, &status) || status.Status().Details == nil || len(status.Status().Details.Causes) != 1 ||
		status.Status().Details.Causes[0].Field != "metadata.name" {
		return fmt.Errorf("an invalid name must be a cause at metadata.name: %#v", invalid)
	}
	return all(
		want("missing is NotFound", apierrors.IsNotFound(missing), true),
		want("message of a missing one", missing.Error(), `configmaps "nobody" not found`),
		want("a second create is AlreadyExists", apierrors.IsAlreadyExists(twice), true),
		want("a stale update is Conflict", apierrors.IsConflict(stale), true),
		want("a bad name is Invalid", apierrors.IsInvalid(invalid), true),
		want("somebody without rights is Forbidden", apierrors.IsForbidden(forbidden), true),
		want("another object's uid is Conflict", apierrors.IsConflict(precondition), true),
	)
}

// protobufBodies: what Kubernetes' own components send. Every body of the session is protobuf, options included.
func protobufBodies(ctx context.Context, s *server) error {
	deployments := s.protobuf.AppsV1().Deployments(s.namespace)
	created, err := deployments.Create(ctx, deployment("web", 2), metav1.CreateOptions{FieldManager: "first"})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	container := created.Spec.Template.Spec.Containers[0]
	created.Spec.Replicas = ptr.To[int32](5)
	updated, err := deployments.Update(ctx, created, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	updated.Status.ObservedGeneration = updated.Generation
	updated.Status.Replicas = 5
	status, err := deployments.UpdateStatus(ctx, updated, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("update of status: %w", err)
	}
	scale, err := deployments.GetScale(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("scale: %w", err)
	}
	scale.Spec.Replicas = 7
	if scale, err = deployments.UpdateScale(ctx, "web", scale, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update of scale: %w", err)
	}
	secret, err := s.protobuf.CoreV1().Secrets(s.namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "key-"}, Data: map[string][]byte{"key": {0, 255, 10}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	review, err := s.protobuf.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods"},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("review: %w", err)
	}
	if err := s.withWidgets(ctx); err != nil {
		return fmt.Errorf("definition: %w", err)
	}
	foreground := metav1.DeletePropagationForeground
	if err := deployments.Delete(ctx, "web", metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return all(
		want("replicas after the update", *updated.Spec.Replicas, 5),
		want("generation after two changes", status.Generation, 2),
		want("replicas in status", status.Status.Replicas, 5),
		want("replicas after scaling", scale.Spec.Replicas, 7),
		want("requested cpu", container.Resources.Requests.Cpu().String(), "100m"),
		want("named port", container.LivenessProbe.HTTPGet.Port.String(), "http"),
		want("default of the pull policy", container.ImagePullPolicy, corev1.PullIfNotPresent),
		want("binary data", string(secret.Data["key"]), "\x00\xff\n"),
		want("generated name", strings.HasPrefix(secret.Name, "key-"), true),
		want("the administrator may", review.Status.Allowed, true),
	)
}

// pages: a list in pieces is the whole list, each piece no longer than asked for.
func pages(ctx context.Context, s *server) error {
	maps := s.client.CoreV1().ConfigMaps(s.namespace)
	const total, page = 25, 10
	for i := range total {
		object := configMap(fmt.Sprintf("page-%02d", i), nil)
		object.Labels = map[string]string{"paged": "true"}
		if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	asked, longest := 0, 0
	pieces := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		list, err := maps.List(ctx, options)
		if err == nil {
			asked++
			longest = max(longest, len(list.Items))
		}
		return list, err
	})
	pieces.PageSize = page
	var names []string
	err := pieces.EachListItem(ctx, metav1.ListOptions{LabelSelector: "paged=true"}, func(object runtime.Object) error {
		names = append(names, object.(*corev1.ConfigMap).Name)
		return nil
	})
	if err != nil {
		return err
	}
	first, err := maps.List(ctx, metav1.ListOptions{Limit: page, FieldSelector: "metadata.name!=kube-root-ca.crt"})
	if err != nil {
		return err
	}
	return all(
		want("requests", asked, 3),
		want("longest page", longest, page),
		want("objects", len(names), total),
		want("last", names[len(names)-1], "page-24"),
		want("a page has a token", first.Continue != "", true),
	)
}

// retryOnConflict: ten writers count up together, and no count is lost.
func retryOnConflict(ctx context.Context, s *server) error {
	maps := s.client.CoreV1().ConfigMaps(s.namespace)
	if _, err := maps.Create(ctx, configMap("counter", map[string]string{"count": ""}), metav1.CreateOptions{}); err != nil {
		return err
	}
	patient := retry.DefaultBackoff
	patient.Steps = 50
	var group sync.WaitGroup
	failures := make([]error, 10)
	for i := range failures {
		group.Go(func() {
			failures[i] = retry.RetryOnConflict(patient, func() error {
				counter, err := maps.Get(ctx, "counter", metav1.GetOptions{})
				if err != nil {
					return err
				}
				counter.Data["count"] += "x"
				_, err = maps.Update(ctx, counter, metav1.UpdateOptions{})
				return err
			})
		})
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	counter, err := maps.Get(ctx, "counter", metav1.GetOptions{})
	if err != nil {
		return err
	}
	return want("counts", len(counter.Data["count"]), len(failures))
}

// deletion: dependents go with their owner or stay, as the deleting client asks.
func deletion(ctx context.Context, s *server) error {
	maps := s.client.CoreV1().ConfigMaps(s.namespace)
	owned := func(owner string) error {
		parent, err := maps.Create(ctx, configMap(owner, nil), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		child := configMap(owner+"-child", nil)
		child.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "v1", Kind: "ConfigMap", Name: owner, UID: parent.UID, BlockOwnerDeletion: ptr.To(true),
		}}
		_, err = maps.Create(ctx, child, metav1.CreateOptions{})
		return err
	}
	gone := func(name string) error {
		return eventually(ctx, name+" is gone", func(ctx context.Context) (bool, error) {
			_, err := maps.Get(ctx, name, metav1.GetOptions{})
			return apierrors.IsNotFound(err), nil
		})
	}
	for owner, policy := range map[string]metav1.DeletionPropagation{
		"front": metav1.DeletePropagationForeground,
		"back":  metav1.DeletePropagationBackground,
		"loose": metav1.DeletePropagationOrphan,
	} {
		if err := owned(owner); err != nil {
			return err
		}
		if err := maps.Delete(ctx, owner, metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil {
			return err
		}
		if err := gone(owner); err != nil {
			return err
		}
	}
	if err := all(gone("front-child"), gone("back-child")); err != nil {
		return err
	}
	orphan, err := maps.Get(ctx, "loose-child", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := want("owners of an orphan", len(orphan.OwnerReferences), 0); err != nil {
		return err
	}
	if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name=loose-child"}); err != nil {
		return err
	}
	return gone("loose-child")
}

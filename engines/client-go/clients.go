package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
)

// discovery: names people type are found, those of a resource defined a moment ago too.
func discovery(ctx context.Context, s *server) error {
	if err := s.withWidgets(ctx); err != nil {
		return err
	}
	version, err := s.client.Discovery().ServerVersion()
	if err != nil {
		return err
	}
	preferred, err := s.client.Discovery().ServerPreferredNamespacedResources()
	if err != nil {
		return err
	}
	cached := memory.NewMemCacheClient(s.client.Discovery())
	mapper := restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(cached), cached, nil)
	short, err := mapper.ResourceFor(schema.GroupVersionResource{Resource: "deploy"})
	if err != nil {
		return err
	}
	own, err := mapper.ResourceFor(schema.GroupVersionResource{Resource: "wi"})
	if err != nil {
		return err
	}
	mapping, err := mapper.RESTMapping(schema.GroupKind{Group: widgets.Group, Kind: "Widget"})
	if err != nil {
		return err
	}
	gadgets, known := restmapper.NewDiscoveryCategoryExpander(cached).Expand("gadgets")
	paths, err := s.client.Discovery().OpenAPIV3().Paths()
	if err != nil {
		return err
	}
	document, err := paths["apis/"+widgets.Group+"/v1"].Schema("application/json")
	if err != nil {
		return err
	}
	var openapi struct {
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(document, &openapi); err != nil {
		return err
	}
	// The older description is protobuf, which only the kubectl of some years ago wants.
	_, err = s.client.Discovery().OpenAPISchema()
	if err != nil {
		return fmt.Errorf("OpenAPI v2: %w", err)
	}
	return all(
		want("major version", version.Major, "1"),
		want("short name of deployments", short.Resource, "deployments"),
		want("short name of a custom resource", own, widgets),
		want("scope of a custom resource", string(mapping.Scope.Name()), "namespace"),
		want("category", known && slices.Contains(gadgets, widgets.GroupResource()), true),
		want("groups with namespaced resources", len(preferred) > 10, true),
		want("a schema of the custom resource", openapi.Components.Schemas["com.example.clients.v1.Widget"] != nil, true),
	)
}

// applyConfigurations: owners of fields meet in one object; who takes another's field is refused unless he insists.
func applyConfigurations(ctx context.Context, s *server) error {
	deployments := s.client.AppsV1().Deployments(s.namespace)
	labels := map[string]string{"app": "applied"}
	container := coreapply.Container().WithName("main").WithImage("registry.example.com/app:1")
	base := appsapply.Deployment("applied", s.namespace).WithSpec(appsapply.DeploymentSpec().
		WithReplicas(2).
		WithSelector(metaapply.LabelSelector().WithMatchLabels(labels)).
		WithTemplate(coreapply.PodTemplateSpec().WithLabels(labels).WithSpec(coreapply.PodSpec().WithContainers(container))))
	if _, err := deployments.Apply(ctx, base, metav1.ApplyOptions{FieldManager: "owner"}); err != nil {
		return err
	}
	scaler := appsapply.Deployment("applied", s.namespace).WithSpec(appsapply.DeploymentSpec().WithReplicas(5))
	_, conflict := deployments.Apply(ctx, scaler, metav1.ApplyOptions{FieldManager: "scaler"})
	if err := want("taking a field is a conflict", apierrors.IsConflict(conflict), true); err != nil {
		return err
	}
	forced, err := deployments.Apply(ctx, scaler, metav1.ApplyOptions{FieldManager: "scaler", Force: true})
	if err != nil {
		return err
	}
	extracted, err := appsapply.ExtractDeployment(forced, "owner")
	if err != nil {
		return err
	}
	if extracted.Spec == nil || extracted.Spec.Template == nil {
		return fmt.Errorf("the owner's own fields cannot be read back: %+v", extracted)
	}
	if extracted.Spec.Replicas != nil {
		return fmt.Errorf("replicas still belong to the first owner: %d", *extracted.Spec.Replicas)
	}
	extracted.WithAnnotations(map[string]string{"note": "kept"})
	again, err := deployments.Apply(ctx, extracted, metav1.ApplyOptions{FieldManager: "owner"})
	if err != nil {
		return err
	}
	status := appsapply.Deployment("applied", s.namespace).WithStatus(appsapply.DeploymentStatus().WithReplicas(5).WithObservedGeneration(2))
	told, err := deployments.ApplyStatus(ctx, status, metav1.ApplyOptions{FieldManager: "reporter"})
	if err != nil {
		return err
	}
	// What its only owner leaves out goes away.
	bare, err := appsapply.ExtractDeployment(told, "owner")
	if err != nil {
		return err
	}
	bare.Annotations = nil
	final, err := deployments.Apply(ctx, bare, metav1.ApplyOptions{FieldManager: "owner"})
	if err != nil {
		return err
	}
	return all(
		want("replicas", *again.Spec.Replicas, 5),
		want("annotation", again.Annotations["note"], "kept"),
		want("replicas in status", told.Status.Replicas, 5),
		want("annotation after leaving it out", final.Annotations["note"], ""),
		want("replicas stay", *final.Spec.Replicas, 5),
	)
}

func widget(name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": widgets.GroupVersion().String(), "kind": "Widget",
		"metadata": map[string]any{"name": name}, "spec": spec,
	}}
}

// dynamicClient: a custom resource without a Go type, from definition to informer.
func dynamicClient(ctx context.Context, s *server) error {
	if err := s.withWidgets(ctx); err != nil {
		return err
	}
	own := s.dynamic.Resource(widgets).Namespace(s.namespace)
	created, err := own.Create(ctx, widget("one", map[string]any{"size": "small", "unknown": true}), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, strict := own.Create(ctx, widget("two", map[string]any{"unknown": true}), metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	_, invalid := own.Create(ctx, widget("two", map[string]any{"size": "huge"}), metav1.CreateOptions{})
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(s.dynamic, 0, s.namespace, nil)
	copied := factory.ForResource(widgets)
	store := copied.Informer().GetStore()
	following, stop := context.WithCancel(ctx)
	factory.Start(following.Done())
	defer factory.Shutdown()
	defer stop()
	if !cache.WaitForCacheSync(ctx.Done(), copied.Informer().HasSynced) {
		return fmt.Errorf("the informer did not fill its copy")
	}
	patched, err := own.Patch(ctx, "one", types.MergePatchType, []byte(`{"spec":{"size":"big"}}`), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	applied, err := own.Apply(ctx, "one", widget("one", map[string]any{"replicas": int64(4)}), metav1.ApplyOptions{FieldManager: "applier", Force: true})
	if err != nil {
		return err
	}
	applied.Object["status"] = map[string]any{"replicas": int64(4), "phase": "Ready"}
	told, err := own.UpdateStatus(ctx, applied, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	if err := eventually(ctx, "the copy has the status", func(context.Context) (bool, error) {
		found, there, err := store.GetByKey(s.namespace + "/one")
		if err != nil || !there {
			return false, err
		}
		return text(found.(*unstructured.Unstructured), "status", "phase") == "Ready", nil
	}); err != nil {
		return err
	}
	_, pruned, _ := unstructured.NestedBool(created.Object, "spec", "unknown")
	replicas, _, _ := unstructured.NestedInt64(created.Object, "spec", "replicas")
	return all(
		want("unknown fields stay", pruned, false),
		want("default", replicas, 1),
		want("strict validation refuses", apierrors.IsBadRequest(strict), true),
		want("the enum refuses", apierrors.IsInvalid(invalid), true),
		want("size after the patch", text(patched, "spec", "size"), "big"),
		want("size after the apply", text(told, "spec", "size"), "big"),
		want("generation counts specs, not status", told.GetGeneration(), 3),
	)
}

func text(object *unstructured.Unstructured, fields ...string) string {
	found, _, _ := unstructured.NestedString(object.Object, fields...)
	return found
}

// metadataClient: what garbage collectors use, metadata of any kind and nothing else.
func metadataClient(ctx context.Context, s *server) error {
	client, err := metadata.NewForConfig(s.config)
	if err != nil {
		return err
	}
	if _, err := s.client.CoreV1().ConfigMaps(s.namespace).Create(ctx, configMap("known", map[string]string{"a": "b"}), metav1.CreateOptions{}); err != nil {
		return err
	}
	maps := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(s.namespace)
	list, err := maps.List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=known"})
	if err != nil {
		return err
	}
	stream, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion, FieldSelector: "metadata.name=known"})
	if err != nil {
		return err
	}
	defer stream.Stop()
	patched, err := maps.Patch(ctx, "known", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"seen":"yes"}}}`), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	event, err := next(ctx, stream)
	if err != nil {
		return err
	}
	seen, is := event.Object.(*metav1.PartialObjectMetadata)
	if !is {
		return fmt.Errorf("a watch of metadata gave %T", event.Object)
	}
	return all(
		want("objects", len(list.Items), 1),
		want("label", patched.Labels["seen"], "yes"),
		want("event", event.Type, watch.Modified),
		want("label in the event", seen.Labels["seen"], "yes"),
	)
}

// tables: columns that the server chose, of built-in and custom resources.
func tables(ctx context.Context, s *server) error {
	if err := s.withWidgets(ctx); err != nil {
		return err
	}
	if _, err := s.client.AppsV1().Deployments(s.namespace).Create(ctx, deployment("web", 2), metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := s.dynamic.Resource(widgets).Namespace(s.namespace).Create(ctx, widget("one", map[string]any{"size": "big"}), metav1.CreateOptions{}); err != nil {
		return err
	}
	table := func(prefix, resource string) (*metav1.Table, error) {
		path := prefix + "/namespaces/" + s.namespace + "/" + resource
		body, err := s.client.RESTClient().Get().AbsPath(path).
			SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(ctx)
		if err != nil {
			return nil, err
		}
		table := &metav1.Table{}
		return table, json.Unmarshal(body, table)
	}
	builtin, err := table("/apis/apps/v1", "deployments")
	if err != nil {
		return err
	}
	custom, err := table("/apis/"+widgets.GroupVersion().String(), "widgets")
	if err != nil {
		return err
	}
	return all(
		want("rows", len(builtin.Rows), 1),
		want("columns of deployments", fmt.Sprint(columns(builtin)[:3]), "[Name Ready Up-to-date]"),
		want("ready", builtin.Rows[0].Cells[1], any("0/2")),
		want("columns of widgets", fmt.Sprint(columns(custom)), "[Name Size]"),
		want("size", custom.Rows[0].Cells[1], any("big")),
	)
}

func columns(table *metav1.Table) []string {
	var names []string
	for _, column := range table.ColumnDefinitions {
		names = append(names, column.Name)
	}
	return names
}

// scaleClient: what autoscalers use, one way to scale whatever can be scaled.
func scaleClient(ctx context.Context, s *server) error {
	if err := s.withWidgets(ctx); err != nil {
		return err
	}
	cached := memory.NewMemCacheClient(s.client.Discovery())
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(cached)
	scales, err := scale.NewForConfig(s.config, mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(cached))
	if err != nil {
		return err
	}
	if _, err := s.client.AppsV1().Deployments(s.namespace).Create(ctx, deployment("web", 2), metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := s.dynamic.Resource(widgets).Namespace(s.namespace).Create(ctx, widget("web", map[string]any{"replicas": int64(2)}), metav1.CreateOptions{}); err != nil {
		return err
	}
	for _, resource := range []schema.GroupResource{appsv1.Resource("deployments"), widgets.GroupResource()} {
		current, err := scales.Scales(s.namespace).Get(ctx, resource, "web", metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("%s: %w", resource, err)
		}
		before := current.Spec.Replicas
		current.Spec.Replicas = 6
		changed, err := scales.Scales(s.namespace).Update(ctx, resource, current, metav1.UpdateOptions{})
		if err != nil {
			return fmt.Errorf("%s: %w", resource, err)
		}
		var again *autoscalingv1.Scale
		if again, err = scales.Scales(s.namespace).Patch(ctx, resource.WithVersion("v1"), "web", types.MergePatchType, []byte(`{"spec":{"replicas":8}}`), metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("%s: %w", resource, err)
		}
		if err := all(
			want(resource.String()+" before", before, 2),
			want(resource.String()+" after the update", changed.Spec.Replicas, 6),
			want(resource.String()+" after the patch", again.Spec.Replicas, 8),
		); err != nil {
			return err
		}
	}
	return nil
}

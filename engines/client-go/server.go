package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

// server is what a check works with.
type server struct {
	config    *rest.Config
	client    *kubernetes.Clientset
	protobuf  *kubernetes.Clientset
	extension *apiextensionsclient.Clientset
	dynamic   *dynamic.DynamicClient
	namespace string
}

// widgets is the custom resource of the checks.
var widgets = schema.GroupVersionResource{Group: "clients.example.com", Version: "v1", Resource: "widgets"}

func connect(config *rest.Config) (*server, error) {
	config = rest.CopyConfig(config)
	// Checks are about answers, not about the client's own limits.
	config.QPS, config.Burst = -1, -1
	binary := rest.CopyConfig(config)
	binary.ContentType = runtime.ContentTypeProtobuf
	binary.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	s := &server{config: config}
	var err error
	if s.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if s.protobuf, err = kubernetes.NewForConfig(binary); err != nil {
		return nil, err
	}
	if s.extension, err = apiextensionsclient.NewForConfig(binary); err != nil {
		return nil, err
	}
	s.dynamic, err = dynamic.NewForConfig(config)
	return s, err
}

// attempt runs a check in a namespace of its own, which is deleted afterwards.
func attempt(check check, config *rest.Config) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := connect(config)
	if err != nil {
		return err
	}
	created, err := s.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "client-go-"},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("cannot create a namespace: %w", err)
	}
	s.namespace = created.Name
	defer func() {
		deleted := s.client.CoreV1().Namespaces().Delete(context.Background(), s.namespace, metav1.DeleteOptions{})
		if err == nil {
			err = deleted
		}
	}()
	return check.run(ctx, s)
}

// eventually asks until the answer is yes.
func eventually(ctx context.Context, what string, ask func(context.Context) (bool, error)) error {
	if err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, patience/2, true, ask); err != nil {
		return fmt.Errorf("waited in vain: %s: %w", what, err)
	}
	return nil
}

// withWidgets makes sure that the custom resource is served.
func (s *server) withWidgets(ctx context.Context) error {
	scalable := apiextensions.JSONSchemaProps{Type: "object", Properties: map[string]apiextensions.JSONSchemaProps{
		"spec": {Type: "object", Properties: map[string]apiextensions.JSONSchemaProps{
			"size":     {Type: "string", Enum: []apiextensions.JSON{{Raw: []byte(`"small"`)}, {Raw: []byte(`"big"`)}}},
			"replicas": {Type: "integer", Default: &apiextensions.JSON{Raw: []byte("1")}},
		}},
		"status": {Type: "object", XPreserveUnknownFields: ptr.To(true)},
	}}
	definition := &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: widgets.Resource + "." + widgets.Group},
		Spec: apiextensions.CustomResourceDefinitionSpec{
			Group: widgets.Group,
			Scope: apiextensions.NamespaceScoped,
			Names: apiextensions.CustomResourceDefinitionNames{
				Plural: "widgets", Singular: "widget", Kind: "Widget", ShortNames: []string{"wi"}, Categories: []string{"gadgets"},
			},
			Versions: []apiextensions.CustomResourceDefinitionVersion{{
				Name: widgets.Version, Served: true, Storage: true,
				Schema: &apiextensions.CustomResourceValidation{OpenAPIV3Schema: &scalable},
				Subresources: &apiextensions.CustomResourceSubresources{
					Status: &apiextensions.CustomResourceSubresourceStatus{},
					Scale:  &apiextensions.CustomResourceSubresourceScale{SpecReplicasPath: ".spec.replicas", StatusReplicasPath: ".status.replicas"},
				},
				AdditionalPrinterColumns: []apiextensions.CustomResourceColumnDefinition{
					{Name: "Size", Type: "string", JSONPath: ".spec.size"},
				},
			}},
		},
	}
	definitions := s.extension.ApiextensionsV1().CustomResourceDefinitions()
	if _, err := definitions.Create(ctx, definition, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return eventually(ctx, "the definition is established", func(ctx context.Context) (bool, error) {
		found, err := definitions.Get(ctx, definition.Name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, condition := range found.Status.Conditions {
			if condition.Type == apiextensions.Established && condition.Status == apiextensions.ConditionTrue {
				return true, nil
			}
		}
		return false, nil
	})
}

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// recorded is one object in both encodings; the second is what the first means.
type recorded struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	How        string          `json:"how"`
	Protobuf   []byte          `json:"protobuf"`
	JSON       json.RawMessage `json:"json"`
}

// recordBodies writes every kind of the stable versions three times: with every field set, with every field set to
// what is zero for it, and with none.
func recordBodies(folder string) error {
	if err := registered(); err != nil {
		return err
	}
	encoder := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	var out bytes.Buffer
	for _, kind := range kinds() {
		for how, fill := range []filler{{full: true}, {zero: true}, {}} {
			object, err := scheme.Scheme.New(kind)
			if err != nil {
				return err
			}
			fill.value(reflect.ValueOf(object).Elem(), kind.Kind, 0)
			object.GetObjectKind().SetGroupVersionKind(kind)
			var encoded bytes.Buffer
			if err := encoder.Encode(object, &encoded); err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			text, err := json.Marshal(object)
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			apiVersion, name := kind.ToAPIVersionAndKind()
			line, err := json.Marshal(recorded{apiVersion, name, []string{"full", "zero", "empty"}[how], encoded.Bytes(), text})
			if err != nil {
				return err
			}
			out.Write(append(line, '\n'))
		}
	}
	var packed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := writer.Write(out.Bytes()); err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "bodies.jsonl.gz"), packed.Bytes(), 0o644)
}

// kinds are those that clients send: no lists, no options of requests that have none in a body.
func kinds() []schema.GroupVersionKind {
	return slices.DeleteFunc(stableKinds(), func(kind schema.GroupVersionKind) bool {
		goType := scheme.Scheme.AllKnownTypes()[kind]
		_, object := reflect.New(goType).Interface().(runtime.Object)
		general := goType.PkgPath() == reflect.TypeFor[metav1.Status]().PkgPath()
		once := kind.Group == "" && slices.Contains(generalKinds, kind.Kind)
		return !object || strings.HasSuffix(kind.Kind, "List") || general && !once
	})
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	admission "k8s.io/api/admission/v1"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	certificates "k8s.io/api/certificates/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// messages describes every protobuf message of the stable API: field numbers and the names that fields have in JSON.
//
// Both are in the tags of the Go types. The `generated.proto` files have only the first, and in JSON a name can be
// another one, a struct can lie within its parent, and what is empty can be left out.
type messages struct {
	// The message of a JSON schema, which contains itself in ways of its own.
	Schema int `json:"schema"`
	// The message of each kind; options have the group "meta", whatever group they are sent to.
	Kinds map[string]int `json:"kinds"`
	// The fields of each message: number, JSON name, shape, kind or message, and whether JSON leaves it out when empty.
	Types [][][5]any `json:"types"`
}

// known are the types that have a JSON form of their own.
var known = map[reflect.Type]string{
	reflect.TypeFor[metav1.Time]():                                "time",
	reflect.TypeFor[metav1.MicroTime]():                           "microtime",
	reflect.TypeFor[metav1.Duration]():                            "duration",
	reflect.TypeFor[intstr.IntOrString]():                         "intstr",
	reflect.TypeFor[resource.Quantity]():                          "quantity",
	reflect.TypeFor[runtime.RawExtension]():                       "raw",
	reflect.TypeFor[metav1.FieldsV1]():                            "raw",
	reflect.TypeFor[apiextensions.JSON]():                         "raw",
	reflect.TypeFor[apiextensions.JSONSchemaPropsOrBool]():        "orbool",
	reflect.TypeFor[apiextensions.JSONSchemaPropsOrArray]():       "orarray",
	reflect.TypeFor[apiextensions.JSONSchemaPropsOrStringArray](): "orstrings",
	reflect.TypeFor[authentication.ExtraValue]():                  "strings",
	reflect.TypeFor[authorization.ExtraValue]():                   "strings",
	reflect.TypeFor[certificates.ExtraValue]():                    "strings",
}

// generalKinds belong to no group and are sent in bodies of requests to any.
var generalKinds = []string{"CreateOptions", "DeleteOptions", "PatchOptions", "Status", "UpdateOptions"}

// registered is the scheme with the groups that client-go's own leaves out.
func registered() error {
	for _, add := range []func(*runtime.Scheme) error{admission.AddToScheme, apiextensions.AddToScheme, apiregistration.AddToScheme} {
		if err := add(scheme.Scheme); err != nil {
			return err
		}
	}
	return nil
}

// stableKinds are those of stable versions that have a protobuf form.
func stableKinds() []schema.GroupVersionKind {
	var found []schema.GroupVersionKind
	for kind, goType := range scheme.Scheme.AllKnownTypes() {
		stable := !strings.Contains(kind.Version, "alpha") && !strings.Contains(kind.Version, "beta") && kind.Version != runtime.APIVersionInternal
		_, marshals := reflect.New(goType).Interface().(interface{ Marshal() ([]byte, error) })
		if stable && marshals && kind.Kind != "WatchEvent" {
			found = append(found, kind)
		}
	}
	slices.SortFunc(found, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
	return found
}

// writeMessages writes the description to a file.
func writeMessages(file string) error {
	if err := registered(); err != nil {
		return err
	}
	roots := map[string]reflect.Type{}
	for _, kind := range stableKinds() {
		goType := scheme.Scheme.AllKnownTypes()[kind]
		apiVersion, name := kind.ToAPIVersionAndKind()
		if goType.PkgPath() == reflect.TypeFor[metav1.Status]().PkgPath() {
			if !slices.Contains(generalKinds, name) {
				continue
			}
			apiVersion = "meta"
		}
		roots[apiVersion+"/"+name] = goType
	}
	reached := map[reflect.Type]bool{}
	for _, goType := range roots {
		reach(goType, reached)
	}
	all := make([]reflect.Type, 0, len(reached))
	for goType := range reached {
		all = append(all, goType)
	}
	slices.SortFunc(all, func(a, b reflect.Type) int {
		return strings.Compare(a.PkgPath()+"."+a.Name(), b.PkgPath()+"."+b.Name())
	})
	numbers := map[reflect.Type]int{}
	for number, goType := range all {
		numbers[goType] = number
	}
	out := messages{Schema: numbers[reflect.TypeFor[apiextensions.JSONSchemaProps]()], Kinds: map[string]int{}}
	for kind, goType := range roots {
		out.Kinds[kind] = numbers[goType]
	}
	for _, goType := range all {
		fields, err := fieldsOf(goType, numbers)
		if err != nil {
			return err
		}
		out.Types = append(out.Types, fields)
	}
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// reach collects the messages that a type contains.
func reach(t reflect.Type, reached map[reflect.Type]bool) {
	if known[t] == "orbool" || known[t] == "orarray" || known[t] == "orstrings" {
		reach(reflect.TypeFor[apiextensions.JSONSchemaProps](), reached)
	}
	if _, is := known[t]; is || reached[t] {
		return
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		reach(t.Elem(), reached)
	case reflect.Struct:
		reached[t] = true
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("protobuf") != "" {
				reach(t.Field(i).Type, reached)
			}
		}
	}
}

func fieldsOf(t reflect.Type, numbers map[reflect.Type]int) ([][5]any, error) {
	fields := [][5]any{}
	for i := range t.NumField() {
		field := t.Field(i)
		tag := strings.Split(field.Tag.Get("protobuf"), ",")
		if len(tag) < 2 {
			continue
		}
		number, err := strconv.Atoi(tag[1])
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, field.Name, err)
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		shape, element := shapeOf(field.Type)
		kind, err := kindOf(element, numbers)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, field.Name, err)
		}
		fields = append(fields, [5]any{number, name, shape, kind, leftOut(field.Type, shape, options)})
	}
	return fields, nil
}

// shapeOf tells lists and maps from single values, and gives the type of what they hold.
func shapeOf(t reflect.Type) (string, reflect.Type) {
	if _, is := known[t]; is {
		return "", t
	}
	switch {
	case t.Kind() == reflect.Pointer:
		return shapeOf(t.Elem())
	case t.Kind() == reflect.Map:
		return "map", t.Elem()
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		return "rep", t.Elem()
	}
	return "", t
}

// leftOut says whether JSON leaves out an empty value: never behind a pointer, and of structs only those that say so.
func leftOut(t reflect.Type, shape, options string) int {
	_, is := known[t]
	structural := t.Kind() == reflect.Struct && !is || t.Kind() == reflect.Pointer
	switch {
	case shape == "" && structural && !strings.Contains(options, "omitzero"), t.Kind() == reflect.Pointer:
		return 0
	case strings.Contains(options, "omitempty"), strings.Contains(options, "omitzero"):
		return 1
	}
	return 0
}

func kindOf(t reflect.Type, numbers map[reflect.Type]int) (any, error) {
	if name, is := known[t]; is {
		return name, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem(), numbers)
	case reflect.Struct:
		return numbers[t], nil
	case reflect.String:
		return "string", nil
	case reflect.Bool:
		return "bool", nil
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return "int", nil
	case reflect.Float64:
		return "double", nil
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes", nil
		}
	}
	return nil, fmt.Errorf("there is no protobuf form for %s", t)
}

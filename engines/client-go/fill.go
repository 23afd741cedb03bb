package main

import (
	"fmt"
	"reflect"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// deepest is how far schemas are filled that contain themselves.
const deepest = 12

// filler sets the fields of a Go value: all of them to something, all of them to zero, or none.
//
// Zero matters because a pointer to false is not an absent one, and an empty list is not a missing one.
type filler struct {
	full, zero bool
	count      int
}

func (f *filler) number() int { f.count++; return f.count }

func (f *filler) value(v reflect.Value, name string, depth int) {
	if !f.full && !f.zero {
		return
	}
	if depth > deepest || f.special(v) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if recursive(v.Type().Elem()) && depth > 6 {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		f.value(v.Elem(), name, depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && field.Type != reflect.TypeFor[metav1.TypeMeta]() {
				f.value(v.Field(i), field.Name, depth+1)
			}
		}
	case reflect.Slice:
		f.slice(v, name, depth)
	case reflect.Map:
		if f.zero || recursive(v.Type().Elem()) && depth > 6 {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.value(key, name+"-key", depth+1)
		f.value(value, name+"-value", depth+1)
		v.SetMapIndex(key, value)
	case reflect.String:
		if f.full {
			v.SetString(fmt.Sprintf("%s-%d", name, f.number()))
		}
	case reflect.Bool:
		v.SetBool(f.full)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if f.full {
			// Negative ones take ten bytes, which is easily read wrongly.
			v.SetInt(int64(f.number()) * int64(1-2*(f.count%2)))
		}
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		if f.full {
			v.SetUint(uint64(f.number()) % 200)
		}
	case reflect.Float64:
		if f.full {
			v.SetFloat(float64(f.number()) + 0.5)
		}
	}
}

func (f *filler) slice(v reflect.Value, name string, depth int) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		v.SetBytes([]byte{})
		if f.full {
			v.SetBytes([]byte{0, 255, byte(f.number())})
		}
		return
	}
	if f.zero || recursive(v.Type().Elem()) && depth > 6 {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 2, 2))
	f.value(v.Index(0), name, depth+1)
	f.value(v.Index(1), name, depth+1)
}

// recursive are types that contain themselves.
func recursive(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[apiextensions.JSONSchemaProps](), reflect.TypeFor[apiextensions.JSONSchemaPropsOrBool](),
		reflect.TypeFor[apiextensions.JSONSchemaPropsOrArray](), reflect.TypeFor[apiextensions.JSONSchemaPropsOrStringArray]():
		return true
	}
	return false
}

// special fills types that write themselves in a form of their own.
func (f *filler) special(v reflect.Value) bool {
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	switch value := v.Addr().Interface().(type) {
	case *metav1.Time:
		if f.full {
			*value = metav1.NewTime(at.Add(time.Duration(f.number()) * time.Second))
		}
	case *metav1.MicroTime:
		if f.full {
			*value = metav1.NewMicroTime(at.Add(time.Duration(f.number()) * time.Microsecond))
		}
	case *metav1.Duration:
		if f.full {
			value.Duration = time.Duration(f.number()) * time.Second
		}
	case *resource.Quantity:
		if f.full {
			*value = resource.MustParse(fmt.Sprintf("%dMi", f.number()))
		} else {
			*value = resource.MustParse("0")
		}
	case *intstr.IntOrString:
		if f.full && f.number()%2 == 0 {
			*value = intstr.FromString("50%")
		} else if f.full {
			*value = intstr.FromInt32(int32(f.number()))
		}
	case *runtime.RawExtension:
		value.Raw = []byte(`{"kind":"Raw","list":[1,null,"x"]}`)
	case *metav1.FieldsV1:
		value.Raw = []byte(`{"f:metadata":{"f:labels":{}}}`)
	case *apiextensions.JSON:
		value.Raw = []byte(`{"a":[true,1.5]}`)
	case *apiextensions.JSONSchemaPropsOrBool:
		f.oneOf(v, func() bool { return f.number()%2 == 0 }, func() { value.Allows = f.full })
	case *apiextensions.JSONSchemaPropsOrArray:
		f.oneOf(v, func() bool { return true }, func() {})
	case *apiextensions.JSONSchemaPropsOrStringArray:
		f.oneOf(v, func() bool { return f.number()%2 == 0 }, func() { value.Property = []string{"a", "b"} })
	default:
		return false
	}
	return true
}

// oneOf fills the schema of an either-or, or calls `other`.
func (f *filler) oneOf(v reflect.Value, schema func() bool, other func()) {
	if !f.full || !schema() {
		other()
		return
	}
	v.FieldByName("Schema").Set(reflect.ValueOf(&apiextensions.JSONSchemaProps{Type: fmt.Sprintf("type-%d", f.number())}))
}

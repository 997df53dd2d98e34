package launcher

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// introspection describes the interface to tools such as busctl(1), from the table of operations.
func introspection() introspect.Introspectable {
	i := introspect.Interface{Name: launcherbus.Interface, Signals: []introspect.Signal{{
		Name: launcherbus.ChangedSignal, Args: arguments("server result exit", "", launcherbus.Event{}.Body()...)}}}
	all := operations()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		i.Methods = append(i.Methods, introspect.Method{Name: name, Args: all[name].arguments()})
	}
	return introspect.NewIntrospectable(&introspect.Node{
		Interfaces: []introspect.Interface{i, introspect.IntrospectData}})
}

// arguments are those of the method: all but the sender, which the bus adds, and the error, which it turns into one.
func (o operation) arguments() []introspect.Arg {
	method := reflect.TypeOf(o.method(nil, nil))
	var in, out []any
	for i := 1; i < method.NumIn(); i++ {
		in = append(in, reflect.Zero(method.In(i)).Interface())
	}
	for i := range method.NumOut() - 1 {
		out = append(out, reflect.Zero(method.Out(i)).Interface())
	}
	return append(arguments(o.args, "in", in...), arguments(o.answer, "out", out...)...)
}

// arguments describes values by their names, which are words of a text.
func arguments(names, direction string, values ...any) []introspect.Arg {
	var args []introspect.Arg
	for i, name := range strings.Fields(names) {
		args = append(args, introspect.Arg{Name: name, Type: dbus.SignatureOf(values[i]).String(),
			Direction: direction})
	}
	return args
}

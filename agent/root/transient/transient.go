// Package transient has the types of a transient systemd unit, as systemd's D-Bus interface takes it. Package unit
// makes them, package systemd sends them. It must never hold anything else, so that a program that starts units need
// not link what decides on them.
package transient

// Spec is a unit to start.
type Spec struct {
	Name       string
	Properties []Property
}

// Property is one of the unit's properties as systemd's D-Bus interface names it. Value is a string, bool, int32,
// uint32, uint64, []string, []Command, []Credential, []EnvironmentFile or ExitStatuses.
type Property struct {
	Name  string
	Value any
}

// Command is one entry of an Exec property, D-Bus type (sasb). systemd 252 writes the properties that end in "Ex" into
// the unit's file under that name, and cannot read it at the next daemon-reload; so those are not used. '$' stands for
// itself only when doubled; '%' stands for itself.
type Command struct {
	Path          string
	Args          []string // Args[0] is the path again
	IgnoreFailure bool
}

// Credential is one entry of LoadCredential, D-Bus type (ss).
type Credential struct{ Name, Path string }

// EnvironmentFile is one entry of EnvironmentFiles, D-Bus type (sb).
type EnvironmentFile struct {
	Path     string
	Optional bool
}

// ExitStatuses is SuccessExitStatus, D-Bus type (aiai).
type ExitStatuses struct{ Codes, Signals []int32 }

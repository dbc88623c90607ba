package policy

import (
	"maps"
	"slices"
	"strings"
)

// The types of the zone's schema. The last three are entities, things that a
// policy names as Type::"id".
const (
	typeBool    = "Bool"
	typeLong    = "Long"
	typeString  = "String"
	typeContext = "Context"
	typeAction  = "Action"
	typeRole    = "Role"
	typeMember  = "Member"
	typeGroup   = "Group"
	typeObject  = "Object"
)

// Everyone is the identifier of the group that all members are in.
const Everyone = "all"

// attributes gives the attributes of a type: their names and types. Every one
// exists on every value, so `has` is never needed.
func attributes(of string) map[string]string {
	switch of {
	case typeMember:
		return map[string]string{"id": typeString, "role": typeString, "manufacturer": typeString, "firmware": typeString,
			"epoch": typeLong, "associated": typeLong, "flagged": typeBool}
	case typeObject:
		return map[string]string{"owner": typeMember, "name": typeString}
	case typeContext:
		return map[string]string{"size": typeLong, "height": typeLong, "encrypted": typeBool}
	}
	return nil
}

// resourceTypes gives for each action what it can be done to.
func resourceTypes(action string) []string {
	switch action {
	case "send", "request", "reply":
		return []string{typeMember, typeGroup}
	case "create", "read", "update", "delete":
		return []string{typeObject}
	}
	return nil
}

// Actions gives the actions of a zone.
func Actions() []string {
	return []string{"send", "request", "reply", "create", "read", "update", "delete"}
}

// within gives the types that something of a type may be `in`, itself included:
// an object is in its owner, a member is in its role.
func within(of string) []string {
	switch of {
	case typeMember:
		return []string{typeMember, typeRole}
	case typeObject:
		return []string{typeObject, typeMember, typeRole}
	}
	return []string{of}
}

// entityTypes are the types that a policy may name.
func entityTypes() []string {
	return []string{typeAction, typeGroup, typeMember, typeObject, typeRole}
}

// isEntity reports a type that a policy may name.
func isEntity(t string) bool { return slices.Contains(entityTypes(), t) }

// names lists the keys of a table for a message.
func names(m map[string]string) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }

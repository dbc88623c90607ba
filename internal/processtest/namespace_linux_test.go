package processtest

import (
	"net"
	"testing"
)

// TestInNamespace: there is nothing in a new namespace but a loopback that is down.
func TestInNamespace(t *testing.T) {
	InNamespace(t, func(t *testing.T) {
		all, err := net.Interfaces()
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		for _, i := range all {
			if i.Flags&net.FlagUp != 0 {
				t.Errorf("%s is up in a new namespace", i.Name)
			}
		}
	})
}

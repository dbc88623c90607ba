package gateway

import (
	"regexp"
	"strings"
	"testing"
)

// TestDemoOnFabric: the same story is told, whatever ledger it is recorded on.
func TestDemoOnFabric(t *testing.T) {
	c, _ := onFabric(t)
	onOne, onFabric := told(t, LedgerConfig{}), told(t, c.Ledger)
	if onOne != onFabric {
		t.Errorf("on one machine:\n%s\non Fabric:\n%s", onOne, onFabric)
	}
}

// told is the story, but for what follows from the zone's key and from the clock.
func told(t *testing.T, l LedgerConfig) string {
	t.Helper()
	var story strings.Builder
	d := Demo{Dir: t.TempDir(), Seed: 1, Ledger: l, Say: func(l DemoLine) {
		story.WriteString(l.At.String() + " " + l.Text + "\n")
	}}
	if err := d.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	verifies(t, d.Dir+"/state")
	return regexp.MustCompile(`alert-[0-9a-f]+|H-ID [0-9a-f]+|\([0-9a-f]{8}\)|trained in [0-9.]+ s|[0-9,]+ bytes`).ReplaceAllString(story.String(), "…")
}

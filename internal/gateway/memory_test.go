package gateway

import (
	"testing"

	"bellwether/internal/feature"
)

func TestMemoryBoundFollowsTheConfiguration(t *testing.T) {
	def := Config{}.MemoryBound()
	if def < (feature.Limits{}).Bytes() || def > 1<<30 {
		t.Errorf("the default bound is %d bytes", def)
	}
	var c Config
	c.Devices.Max = defaultMaxDevices
	if c.MemoryBound() != def {
		t.Errorf("%d devices are bound to %d bytes, the default to %d", c.Devices.Max, c.MemoryBound(), def)
	}
	c.Devices.Max, c.Tables = 1, TablesConfig{1, 1, 1}
	if got := c.MemoryBound(); got < bytesBeside || got >= def-100<<20 {
		t.Errorf("small tables and one device are bound to %d bytes", got)
	}
}

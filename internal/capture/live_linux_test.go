package capture

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"bellwether/internal/processtest"
)

func TestLive(t *testing.T) { processtest.InNamespace(t, testLive) }

func testLive(t *testing.T) {
	// Without IPv6 the cable carries nothing but what the test sends.
	os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0)
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		processtest.NoNamespace(t, fmt.Errorf("%w: %s", err, out))
	}
	t.Run("counts", testLiveCounts)
	t.Run("VLAN", testLiveVLAN)
	t.Run("snap length", testLiveSnap)
	t.Run("drops", testLiveDrops)
	t.Run("both ways", testLiveOutgoing)
	t.Run("loopback once", testLiveLoopback)
	t.Run("close", testLiveClose)
	t.Run("down", testLiveDown)
	t.Run("tunnel", testLiveTunnel)
	t.Run("no permission", testLivePermission)
	t.Run("zero allocations", testLiveAllocs)
}

package capture

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace marks the child process that runs TestLive in a network
// namespace of its own.
const inNamespace = "BELLWETHER_TEST_NAMESPACE"

// TestLive runs itself again in a new network namespace (and a new user
// namespace where it is not root), so that it can lay cables without touching
// the machine's.
func TestLive(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		testLive(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLive$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		cannotLive(t, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("in the namespace: %v\n%s", err, &out)
	}
	if strings.Contains(out.String(), "--- SKIP: TestLive (") {
		t.Skipf("%s", &out)
	}
	t.Logf("%s", &out)
}

// cannotLive skips, except where CI=true.
func cannotLive(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("no network namespace: %v", err)
	}
	t.Skipf("no network namespace: %v", err)
}

func testLive(t *testing.T) {
	// Without IPv6 the cable carries nothing but what the test sends.
	os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0)
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		cannotLive(t, fmt.Errorf("%w: %s", err, out))
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

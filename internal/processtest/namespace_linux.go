package processtest

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
)

// inNamespace marks a process that runs in a network namespace of its own.
const inNamespace = "BELLWETHER_TEST_NAMESPACE"

// InNamespace runs a test in a new network namespace (and a new user namespace
// where it is not root), so that it can lay cables without touching the machine's:
// the test that calls it runs again in a process of its own.
func InNamespace(t *testing.T, test func(*testing.T)) {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		test(t)
		return
	}
	cmd := Again(t, inNamespace, "1", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		NoNamespace(t, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("in the namespace: %v\n%s", err, &out)
	}
	if strings.Contains(out.String(), "--- SKIP: "+t.Name()+" (") {
		t.Skipf("%s", &out)
	}
	t.Logf("%s", &out)
}

// NoNamespace skips a test that can have no network namespace, or not with what it
// needs in it. Where CI=true that is a failure.
func NoNamespace(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("no network namespace: %v", err)
	}
	t.Skipf("no network namespace: %v", err)
}

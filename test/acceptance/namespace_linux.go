package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace, as a file descriptor. Zero is the process's own.
type namespace int

// newNamespace makes a network namespace.
func newNamespace() (n namespace, err error) {
	return n, onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("a network namespace: %w", err)
		}
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		n = namespace(fd)
		return err
	})
}

// onThread runs f on a thread of its own, which ends with it.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		done <- f()
	}()
	return <-done
}

// do runs f in the namespace: sockets that it opens and programs that it starts
// are there.
func (n namespace) do(f func() error) error {
	if n == 0 {
		return f()
	}
	return onThread(func() error {
		if err := unix.Setns(int(n), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// ip runs the program ip in the namespace.
func (n namespace) ip(args string) error {
	return n.do(func() error {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
		return nil
	})
}

// ownNamespace has a program run in a network namespace of its own, in which it
// may do everything.
func ownNamespace() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if syscall.Getuid() != 0 {
		a.Cloneflags |= unix.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: syscall.Getuid(), Size: 1}}
	}
	return a
}

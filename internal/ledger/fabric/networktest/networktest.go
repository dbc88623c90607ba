// Package networktest gives tests real Fabric networks: package network's, with
// the test program itself as their chaincode.
package networktest

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/nodes"
)

// command is the first argument of a test program that is to be a chaincode.
const command = "chaincode"

// Main is for TestMain: it serves the chaincode if the program is called as one,
// and returns otherwise.
func Main() {
	if len(os.Args) < 2 || os.Args[1] != command {
		return
	}
	s, l, err := Listen(os.Args[2:])
	if err == nil {
		err = s.Serve(context.Background(), l)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Listen does what the arguments that a network adds to the chaincode's command
// ask for.
func Listen(args []string) (s chaincode.Server, l net.Listener, err error) {
	f := flag.NewFlagSet(command, flag.ContinueOnError)
	f.StringVar(&s.ID, "id", "", "")
	listen, cert, key := f.String("listen", "", ""), f.String("cert", "", ""), f.String("key", "", "")
	if err := f.Parse(args); err != nil {
		return s, nil, err
	}
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		return s, nil, err
	}
	s.Certificate = &pair
	l, err = net.Listen("tcp", *listen)
	return s, l, err
}

// Programs gives the directory of Fabric's programs, which are built once. Where
// they cannot be had the test says so, and fails where CI=true.
func Programs(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a real Fabric network is not tried with -short")
	}
	said := ""
	dir, err := nodes.Built(t.Context(), func(stage string, _, _ int64) {
		if stage != said {
			said = stage
			t.Logf("Fabric's programs, built once: %s", stage)
		}
	})
	if errors.Is(err, nodes.ErrUnavailable) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Options fills in what a network of a test is made with: its processes end with
// the test program. What is given stays: programs, chaincode, directory.
func Options(t testing.TB, o network.Options) network.Options {
	t.Helper()
	o.Tied = true
	if o.Programs == "" {
		o.Programs = Programs(t)
	}
	if o.Chaincode == nil {
		o.Chaincode = []string{os.Args[0], command}
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	return o
}

// Up makes a network, or starts again what does not run of the one in the
// options' directory. It is down when the test ends.
func Up(t testing.TB, o network.Options) *network.Network {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	n, err := network.Up(ctx, Options(t, o), func(step string) { t.Log(step) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

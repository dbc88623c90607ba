package fabric

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gateway "github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/networktest"
	"bellwether/internal/ledger/fabric/nodes"
	"bellwether/internal/ledger/ledgertest"
)

// TestLiar has one of four orderers lie: the zone goes on, and what stands on the
// channel and in the copy is what was recorded, once.
func TestLiar(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lie    string
		leader bool // it is the leader who can tell it; otherwise who hands blocks to the peer
	}{
		{"wrong previous hash", true},
		{"wrong data hash", true},
		{"changed transaction", true},
		{"transaction twice", true},
		{"dropped transactions", true},
		{"rubbish signatures", true},
		{"changed blocks", false},
		{"withheld blocks", false},
	} {
		t.Run(tt.lie, func(t *testing.T) {
			o := network.Options{Dir: t.TempDir(), Orderers: network.BFT4, Programs: liar(t)}
			n := up(t, o)
			dir := filepath.Join(o.Dir, "nodes", "orderer1")
			l := opened(t, t.TempDir(), ledgertest.Master(), Options{Connection: connection(n, 0), Patience: 2 * time.Minute})
			txs := history(t, 30)
			write := func(from, to int) (longest time.Duration) {
				for _, tx := range txs[from:to] {
					began := time.Now()
					submit(t, l, tx)
					commit(t, l)
					longest = max(longest, time.Since(began))
				}
				return longest
			}
			write(0, 3)
			if err := os.WriteFile(filepath.Join(dir, "lie"), []byte(tt.lie), 0o600); err != nil {
				t.Fatal(err)
			}
			next := 6
			longest := write(3, next)
			for ; !exists(filepath.Join(dir, "lies")) && next < len(txs); next++ {
				longest = askAnother(t, n, o, tt.leader, next, write)
			}
			told, err := os.ReadFile(filepath.Join(dir, "lies"))
			if err != nil {
				t.Fatalf("it did not lie: %v", err)
			}
			t.Logf("told %d times; the longest commit took %s", strings.Count(string(told), "\n"), longest.Round(10*time.Millisecond))
			t.Attr("longest-commit", longest.Round(10*time.Millisecond).String())
			want(t, l, txs[:next]...)
			if got := onChannel(t, l); len(got) != next {
				t.Errorf("the channel has %d valid blocks of the zone, want %d", len(got), next)
			}
			if twice := duplicates(t, l); (twice > 0) != (tt.lie == "transaction twice") {
				t.Errorf("%d transactions stand on the channel a second time, without effect", twice)
			}
			fresh := opened(t, t.TempDir(), ledgertest.Master(), Options{Connection: connection(n, 0), Patience: calmPatience})
			want(t, fresh, txs[:next]...)
		})
	}
}

// askAnother makes it likely that the liar is asked: an orderer that may have got
// the lead is away for one transaction, or the peer, which takes blocks from an
// orderer that it chooses at random when it starts, starts again.
func askAnother(t *testing.T, n *network.Network, o network.Options, leader bool, next int, write func(from, to int) time.Duration) time.Duration {
	t.Helper()
	name := "peer-org1"
	if leader {
		name = fmt.Sprint("orderer", 2+next%3)
	}
	if err := n.Kill(name); err != nil {
		t.Fatal(err)
	}
	if !leader {
		up(t, o)
		return write(next, next+1)
	}
	longest := write(next, next+1)
	up(t, o)
	if err := n.Level(t.Context()); err != nil {
		t.Fatal(err)
	}
	return longest
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// duplicates counts the transactions that the channel has once more.
func duplicates(t *testing.T, l *Ledger) (twice int) {
	t.Helper()
	height, err := l.client.height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := l.client.network.BlockEvents(ctx, gateway.WithStartBlock(0))
	if err != nil {
		t.Fatal(err)
	}
	for range height {
		for f, err := range calls(<-events, l.o.Connection.Chaincode) {
			if err != nil {
				t.Fatal(err)
			}
			if f.code == peer.TxValidationCode_DUPLICATE_TXID {
				twice++
			}
		}
	}
	return twice
}

// edit replaces a text that occurs once in a file of Fabric's source.
type edit struct{ file, old, new string }

// lies are what makes an orderer a liar. Nothing of it happens until it is told.
func lies() []edit {
	const imports = "\t\"github.com/hyperledger/fabric/protoutil\"\n"
	const smartbft = "orderer/consensus/smartbft/"
	all := []edit{
		{smartbft + "assembler.go", "\tblock.Data = &cb.BlockData{Data: batchedRequests}\n", `
	if lie.Told("changed transaction") {
		batchedRequests = lie.Changed(batchedRequests)
	}
	if lie.Told("transaction twice") {
		batchedRequests = append(batchedRequests, batchedRequests...)
	}
	if lie.Told("wrong previous hash") {
		block.Header.PreviousHash = make([]byte, len(block.Header.PreviousHash))
	}
	block.Data = &cb.BlockData{Data: batchedRequests}
`},
		{smartbft + "assembler.go", "\tblock.Header.DataHash = protoutil.ComputeBlockDataHash(block.Data)\n", `
	block.Header.DataHash = protoutil.ComputeBlockDataHash(block.Data)
	if lie.Told("wrong data hash") {
		block.Header.DataHash = make([]byte, len(block.Header.DataHash))
	}
`},
		{smartbft + "chain.go", "\treturn c.submit(env)\n", `
	if lie.Told("dropped transactions") {
		return nil
	}
	return c.submit(env)
`},
		{smartbft + "chain.go", "\tc.consensus.HandleRequest(sender, req)\n", `
	if !lie.Told("dropped transactions") {
		c.consensus.HandleRequest(sender, req)
	}
`},
		{smartbft + "signer.go", "\tsignature := protoutil.SignOrPanic(s.SignerSerializer, sig.AsBytes())\n", `
	signature := protoutil.SignOrPanic(s.SignerSerializer, sig.AsBytes())
	if lie.Told("rubbish signatures") {
		signature = make([]byte, len(signature))
	}
`},
		{"common/deliver/deliver.go", "\t\tblock2send := block\n", `
		block2send := block
		if seekInfo.ContentType != ab.SeekInfo_HEADER_WITH_SIG {
			for ctx.Err() == nil && lie.Told("withheld blocks") {
				time.Sleep(100 * time.Millisecond)
			}
			if lie.Told("changed blocks") {
				block2send = &cb.Block{Header: block.Header, Metadata: block.Metadata, Data: &cb.BlockData{Data: lie.Changed(block.Data.Data)}}
			}
		}
`},
	}
	for _, file := range []string{smartbft + "assembler.go", smartbft + "chain.go", smartbft + "signer.go", "common/deliver/deliver.go"} {
		all = append(all, edit{file, imports, imports + "\t\"github.com/hyperledger/fabric/common/lie\"\n"})
	}
	return all
}

// liarScript is the program orderer of a network: the first one, which is the
// leader at first, is the liar, the others are Fabric's own.
const liarScript = `#!/bin/sh
case "$PWD" in */orderer1) exec "$0-liar" "$@";; esac
exec %q "$@"
`

// liar gives a directory of programs whose first orderer lies when the file "lie"
// in its directory says so. It is built of a copy of Fabric's module with a few
// lines put in, once, and kept beside the others.
func liar(t *testing.T) (dir string) {
	t.Helper()
	honest := networktest.Programs(t)
	lie, err := os.ReadFile(filepath.Join("testdata", "liar", "lie.go"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(fmt.Append(nil, lies(), string(lie), liarScript))
	if dir = honest + "-liar-" + hex.EncodeToString(sum[:8]); nodes.Check(dir) == nil {
		return dir
	}
	fresh, err := os.MkdirTemp(filepath.Dir(honest), "unfinished-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	buildLiar(t, filepath.Join(fresh, nodes.Orderer+"-liar"), lie)
	if err := os.WriteFile(filepath.Join(fresh, nodes.Orderer), fmt.Appendf(nil, liarScript, filepath.Join(honest, nodes.Orderer)), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{nodes.Peer, nodes.Configtxgen, nodes.Osnadmin, nodes.PeerConfig, nodes.OrdererConfig} {
		if err := os.Symlink(filepath.Join(honest, name), filepath.Join(fresh, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(fresh, dir); err != nil && nodes.Check(dir) != nil { // another process may have been first
		t.Fatal(err)
	}
	return dir
}

func buildLiar(t *testing.T, program string, lie []byte) {
	t.Helper()
	module, err := nodes.Find(".")
	if err != nil {
		t.Fatal(err)
	}
	const fabric = "github.com/hyperledger/fabric"
	run := func(args ...string) string {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = module, append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v: %s", args[0], err, out)
		}
		return strings.TrimSpace(string(out))
	}
	work := t.TempDir()
	copied := filepath.Join(work, "fabric")
	if err := os.CopyFS(copied, os.DirFS(run("list", "-m", "-f", "{{.Dir}}", fabric))); err != nil {
		t.Fatal(err)
	}
	for _, e := range lies() {
		rewrite(t, filepath.Join(copied, e.file), e.old, e.new)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(copied, "common", "lie"), 0o755), os.WriteFile(filepath.Join(copied, "common", "lie", "lie.go"), lie, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		raw, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "go.mod" {
			raw = fmt.Appendf(raw, "\nreplace %s => %s\n", fabric, copied)
		}
		if err := os.WriteFile(filepath.Join(work, name), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run("build", "-modfile="+filepath.Join(work, "go.mod"), "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, fabric+"/cmd/orderer")
}

// rewrite changes a text that occurs once in a file.
func rewrite(t *testing.T, path, old, new string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(raw), old); n != 1 {
		t.Fatalf("%s has %q %d times, want once: another version of Fabric?", path, old, n)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(raw), old, new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

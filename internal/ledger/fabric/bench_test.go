package fabric

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/zone"
)

// hashes stand under the root of one transaction of the benchmark.
const hashes = 1000

// segment makes transaction n of device i: the device, then one segment of
// stored rows after the other.
func segment(b *testing.B, group zone.Hash, i int, n uint64) []byte {
	b.Helper()
	tx := contract.Tx{Zone: group, Time: ledgertest.Created.Add(time.Duration(n) * time.Second), Device: ledgertest.Device(i), N: n,
		Body: &contract.SegmentRecorded{First: zone.SeqID(n * hashes), Last: zone.SeqID(n*hashes + hashes - 1), Rows: hashes, Root: zone.Hash{1}, Unjudged: hashes}}
	if n == 1 {
		tx.Body = &contract.DeviceSeen{Name: fmt.Sprint("device ", i)}
	}
	raw, err := tx.Sign(ledgertest.Master())
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

// BenchmarkSubmitters has some devices record 1,000 hashes each, again and again,
// every one waiting until it is committed.
func BenchmarkSubmitters(b *testing.B) {
	for _, orderers := range []string{network.Raft1, network.BFT4} {
		n := up(b, network.Options{Orderers: orderers})
		for _, submitters := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("orderers=%s/submitters=%d", orderers, submitters), func(b *testing.B) {
				tests := fmt.Sprintf("b%d-%d", submitters, b.N)
				benchmarkRecord(b, defined(b, n, tests), submitters)
				b.ReportMetric(float64(submitters*b.N*hashes)/b.Elapsed().Seconds(), "hashes/s")
			})
		}
		for _, node := range n.Status() {
			b.Logf("%s: %s %d MiB", orderers, node.Name, node.RSS>>20)
		}
		if err := n.Down(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkRecord is the loop: a zone on that chaincode, and devices that record in
// it.
func benchmarkRecord(b *testing.B, c Connection, submitters int) {
	l := opened(b, b.TempDir(), ledgertest.Master(), Options{Connection: c, BlockAge: -1, Patience: calmPatience})
	submit(b, l, ledgertest.Genesis(b))
	commit(b, l)
	z, _, err := contract.ReadZone(l.State())
	if err != nil {
		b.Fatal(err)
	}
	txs := make([][][]byte, submitters)
	for i := range txs {
		for k := range b.N + 1 {
			txs[i] = append(txs[i], segment(b, z.ID, i, uint64(k)+1))
		}
		submit(b, l, txs[i][0])
	}
	commit(b, l)
	b.ResetTimer()
	record(b, l, txs)
	b.ReportMetric(float64(submitters*b.N)/b.Elapsed().Seconds(), "tx/s")
}

func record(b *testing.B, l *Ledger, txs [][][]byte) {
	var wait sync.WaitGroup
	for _, mine := range txs {
		wait.Go(func() {
			for _, tx := range mine[1:] {
				if err := errors.Join(l.Submit(b.Context(), tx), l.Commit(b.Context())); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

package journal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bellwether/internal/processtest"
)

// writerEnv, when set, makes the test binary the process that gets killed: it
// appends to the journal named there without end.
const writerEnv = "BELLWETHER_TEST_JOURNAL"

func TestMain(m *testing.M) {
	processtest.Instead(writerEnv, writeForever)
	os.Exit(m.Run())
}

// writeForever appends records and says on standard output how many there are.
func writeForever(path string) error {
	j, err := Open(path, kind, nil)
	if err != nil {
		return err
	}
	for n := j.Len(); ; n++ {
		if err := j.Append(record(n)); err != nil {
			return err
		}
		fmt.Println(n + 1)
	}
}

// record is the payload of record n, of a length that varies.
func record(n int) []byte {
	b := fmt.Appendf(nil, "record %d ", n)
	for range n * 7919 % 20_000 {
		b = append(b, byte(n))
	}
	return b
}

// TestKill kills a writing process at random moments, again and again on one
// journal: every record it acknowledged is there, whole and in order.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	rng := rand.New(rand.NewPCG(1, 2))
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	total := 0
	for round := range rounds {
		acked := processtest.Acknowledged(t, processtest.Again(t, writerEnv, path), time.Duration(rng.IntN(30_000))*time.Microsecond)
		var got [][]byte
		j, err := Open(path, kind, collect(&got))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		j.Close()
		if uint64(len(got)) < acked {
			t.Fatalf("round %d: %d records were acknowledged, %d are there", round, acked, len(got))
		}
		for n, p := range got {
			if string(p) != string(record(n)) {
				t.Fatalf("round %d: record %d is not what was written", round, n)
			}
		}
		total = len(got)
	}
	if total < rounds {
		t.Fatalf("only %d records in %d rounds: the test says nothing", total, rounds)
	}
}

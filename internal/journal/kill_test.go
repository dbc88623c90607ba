package journal

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// writerEnv, when set, makes the test binary the process that gets killed: it
// appends to the journal named there without end.
const writerEnv = "BELLWETHER_TEST_JOURNAL"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		fmt.Fprintln(os.Stderr, writeForever(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForever appends records and acknowledges each on standard output.
func writeForever(path string) error {
	j, err := Open(path, kind, nil)
	if err != nil {
		return err
	}
	for n := j.Len(); ; n++ {
		if err := j.Append(record(n)); err != nil {
			return err
		}
		fmt.Println(n)
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
		acked := killedWriter(t, path, time.Duration(rng.IntN(30_000))*time.Microsecond)
		var got [][]byte
		j, err := Open(path, kind, collect(&got))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		j.Close()
		if len(got) <= acked {
			t.Fatalf("round %d: record %d was acknowledged, %d records are there", round, acked, len(got))
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

// killedWriter runs a writer, kills it some time after its first
// acknowledgement, and gives the number of the last record it acknowledged.
func killedWriter(t *testing.T, path string, after time.Duration) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked := -1
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if acked < 0 {
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
		if acked, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatalf("the writer said %q", lines.Text())
		}
	}
	cmd.Wait()
	if acked < 0 {
		t.Fatal("the writer acknowledged nothing")
	}
	return acked
}

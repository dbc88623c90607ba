package rehearse

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"bellwether/internal/simulate"
)

// truth is the file that says which packets of a capture are an attack's: CSV,
// one line for each such packet, by its index from 0.
type truth struct {
	file   *os.File
	buffer *bufio.Writer
}

func newTruth(path string) (*truth, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	t := &truth{f, bufio.NewWriter(f)}
	t.buffer.WriteString("packet,time,device,attack,direction\n") // its error comes again with Flush
	return t, nil
}

func (t *truth) add(index uint64, f *simulate.Frame, sent bool) error {
	direction := "received"
	if sent {
		direction = "sent"
	}
	_, err := fmt.Fprintf(t.buffer, "%d,%s,%s,%s,%s\n", index, f.Time, f.Device, f.Attack, direction)
	return err
}

func (t *truth) close() error { return errors.Join(t.buffer.Flush(), t.file.Close()) }

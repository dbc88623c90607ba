package roster

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"bellwether/internal/zone"
)

// maxName is the longest device name in bytes; the ledger takes no longer one.
const maxName = 128

// maxNames bounds the bytes of a file of names: more than a gateway has devices.
const maxNames = 16 << 20

// ReadNames reads device names from CSV (RFC 4180): a header with the columns
// "MAC Address" and "Device Name" (in any order and case, others are ignored),
// then one device a line. A byte order mark is passed over, and so are empty
// lines. Errors name the line; at most 16 MiB are read.
func ReadNames(r io.Reader) (map[zone.MAC]string, error) {
	limited := &io.LimitedReader{R: r, N: maxNames + 1}
	names, err := readNames(limited)
	if limited.N == 0 {
		return nil, fmt.Errorf("is longer than %d bytes", maxNames)
	}
	return names, err
}

func readNames(r io.Reader) (map[zone.MAC]string, error) {
	in := csv.NewReader(withoutMark(r))
	in.FieldsPerRecord = -1
	in.TrimLeadingSpace = true
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("is empty: want a header line \"MAC Address,Device Name\"")
	}
	if err != nil {
		return nil, err
	}
	mac, name := column(header, "MAC Address"), column(header, "Device Name")
	if mac < 0 || name < 0 {
		return nil, fmt.Errorf("line 1: the header is %.100q: want the columns \"MAC Address\" and \"Device Name\"", strings.Join(header, ","))
	}
	names := map[zone.MAC]string{}
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		if err := addName(names, row, mac, name); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// withoutMark skips the byte order mark that spreadsheets write. It is in the
// way of a quote that opens the first field.
func withoutMark(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if mark, _ := b.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		b.Discard(len(mark))
	}
	return b
}

const byteOrderMark = "\ufeff"

func column(header []string, want string) int {
	for i, h := range header {
		if strings.EqualFold(strings.TrimSpace(h), want) {
			return i
		}
	}
	return -1
}

func addName(names map[zone.MAC]string, row []string, mac, name int) error {
	if len(row) <= max(mac, name) {
		return fmt.Errorf("it has %d columns: want a MAC address and a name", len(row))
	}
	address := strings.TrimSpace(row[mac])
	if len(address) > 100 {
		return fmt.Errorf("%.20q… is not a MAC address: want six bytes like 64:16:66:49:3e:cb", address)
	}
	m, err := zone.ParseMAC(address)
	if err != nil {
		return err
	}
	n := strings.TrimSpace(row[name])
	if err := CheckName(n); err != nil {
		return err
	}
	if m.IsGroup() || m == (zone.MAC{}) {
		return fmt.Errorf("%s is not the address of a device", m)
	}
	if old, ok := names[m]; ok {
		return fmt.Errorf("%s is named twice: %q and %q", m, old, n)
	}
	names[m] = n
	return nil
}

// CheckName reports why a device cannot be called so.
func CheckName(n string) error {
	switch {
	case n == "":
		return errors.New("the name is empty")
	case len(n) > maxName:
		return fmt.Errorf("the name %.20q… is %d bytes long: want at most %d", n, len(n), maxName)
	case !utf8.ValidString(n):
		return fmt.Errorf("the name %q is not UTF-8", n)
	}
	for _, r := range n {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return fmt.Errorf("the name %q holds a character that cannot be printed", n)
		}
	}
	return nil
}

// ReadNamesFile reads the names in a CSV file.
func ReadNamesFile(path string) (map[zone.MAC]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("device names: %w", err)
	}
	defer f.Close()
	names, err := ReadNames(f)
	if err != nil {
		return nil, fmt.Errorf("device names %s: %w", path, err)
	}
	return names, nil
}

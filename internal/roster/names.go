package roster

import (
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

// ReadNames reads device names from CSV: a header with the columns
// "MAC Address" and "Device Name" (in any order, others are ignored), then one
// device a line. Errors name the line.
func ReadNames(r io.Reader) (map[zone.MAC]string, error) {
	in := csv.NewReader(r)
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
		return nil, fmt.Errorf("line 1: the header is %q: want the columns \"MAC Address\" and \"Device Name\"", header)
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

func column(header []string, want string) int {
	for i, h := range header {
		if strings.EqualFold(strings.TrimSpace(strings.TrimPrefix(h, "\ufeff")), want) {
			return i
		}
	}
	return -1
}

func addName(names map[zone.MAC]string, row []string, mac, name int) error {
	if len(row) <= max(mac, name) {
		return fmt.Errorf("has %d columns: want a MAC address and a name", len(row))
	}
	m, err := zone.ParseMAC(strings.TrimSpace(row[mac]))
	if err != nil {
		return err
	}
	n := strings.TrimSpace(row[name])
	if err := CheckName(n); err != nil {
		return err
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
		if !unicode.IsPrint(r) {
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

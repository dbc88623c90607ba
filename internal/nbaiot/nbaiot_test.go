package nbaiot

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bellwether/internal/feature"
)

// header is the first line of a table.
func header() string {
	names := feature.Names()
	return strings.Join(names[:], ",") + "\n"
}

// text makes a table of rows that hold base and the row's number, in every column.
func text(rows int, base float64) string {
	var b strings.Builder
	b.WriteString(header())
	for i := range rows {
		v := strconv.FormatFloat(base+float64(i), 'f', -1, 64)
		b.WriteString(strings.Repeat(v+",", feature.Count-1) + v + "\n")
	}
	return b.String()
}

// with gives a table of one row of ones, with the value at a column, from 0.
func with(column int, value string) string {
	fields := slices.Repeat([]string{"1"}, feature.Count)
	fields[column] = value
	return header() + strings.Join(fields, ",") + "\n"
}

func writeFile(tb testing.TB, path string, content []byte) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o666); err != nil {
		tb.Fatal(err)
	}
}

// vint is a number as RAR 5 writes it.
func vint(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// block is a header of RAR 5: checksum, length, content.
func block(content ...[]byte) []byte {
	body := bytes.Join(content, nil)
	body = append(vint(len(body)), body...)
	return append(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)), body...)
}

// rar makes an archive of version 5 that stores the files uncompressed.
func rar(files ...[2]string) []byte {
	archive := []byte("Rar!\x1a\x07\x01\x00")
	archive = append(archive, block(vint(1), vint(0), vint(0))...)
	for _, f := range files {
		name, content := f[0], []byte(f[1])
		sum := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(content))
		archive = append(archive, block(vint(2), vint(2), vint(len(content)), // file, with data
			vint(4), vint(len(content)), vint(0o644), sum, // with checksum
			vint(0), vint(1), vint(len(name)), []byte(name))...) // stored, on Unix
		archive = append(archive, content...)
	}
	return append(archive, block(vint(5), vint(0), vint(0))...)
}

// published lays out one device as UCI does, with its Mirai attacks packed.
func published(tb testing.TB, dir string) {
	tb.Helper()
	device := filepath.Join(dir, "Ecobee_Thermostat")
	writeFile(tb, filepath.Join(device, "benign_traffic.csv"), []byte(text(9, 1)))
	var packed [][2]string
	for _, kind := range Attacks("mirai") {
		packed = append(packed, [2]string{kind + ".csv", text(5, 100)})
	}
	writeFile(tb, filepath.Join(device, "mirai_attacks.rar"), rar(packed...))
	for _, kind := range Attacks("gafgyt") {
		writeFile(tb, filepath.Join(device, "gafgyt_attacks", kind+".csv"), []byte(text(4, 200)))
	}
}

package gateway

import (
	"cmp"

	"bellwether/internal/feature"
)

// What a gateway needs beside its feature tables, in bytes, as measured on
// amd64: a device's model and scorer take about 350 kB; a segment that is
// collected, encoded and compressed about 80 MB, and garbage comes on top.
const (
	bytesPerDevice = 512 << 10
	bytesPerMember = 64 << 10
	bytesBeside    = 224 << 20
)

// defaultMaxMembers is what Members.Max stands for when it is left out.
const defaultMaxMembers = 4096

// defaultMaxDevices is what Devices.Max stands for when it is left out.
const defaultMaxDevices = 512

// MemoryBound is what the configuration bounds the program's memory to, in
// bytes, while it watches: its feature tables, its devices and what the rest
// takes. Learning many devices from large captures at once may take more.
func (c Config) MemoryBound() int64 {
	devices := c.Devices.Max
	if devices == 0 {
		devices = defaultMaxDevices
	}
	members := 0
	if c.Members.Listen != "" {
		members = cmp.Or(c.Members.Max, defaultMaxMembers)
	}
	return int64(members)*bytesPerMember + feature.Limits(c.Tables).Bytes() + int64(devices)*bytesPerDevice + bytesBeside
}

// Package nbaiot reads the N-BaIoT data set as it is published (Meidan et al.,
// IEEE Pervasive Computing 17(3), 2018; UCI Machine Learning Repository, 442):
// per device one table of benign traffic and up to ten of attacks by the Mirai
// and BASHLITE (there called gafgyt) botnets, 115 features a row.
//
// Find looks for tables below a directory, in both layouts that are in use:
//
//	Danmini_Doorbell/benign_traffic.csv     UCI: a folder for each device,
//	Danmini_Doorbell/mirai_attacks.rar      attacks as an archive or, unpacked,
//	Danmini_Doorbell/gafgyt_attacks/udp.csv as a folder
//
//	1.benign.csv  1.mirai.scan.csv          Kaggle: the device's number first
//
// A table may also be compressed on its own, as .csv.gz or .csv.zip. Find says
// what is missing and opens no more than the archives' lists of contents.
//
// A Reader streams the rows of one table and refuses whatever cannot be a row
// of the data set: other columns, another number of fields, what is not a
// finite number, values out of range, archives that end early. Every error
// names file, row and column; rows are counted from 1 behind the header.
//
// # Unix times in HH_jit
//
// The program that made the data set took the gap before a channel's first
// packet from 1970 on. So the first HH_jit mean of a channel is the packet's Unix
// time (about 1.5e9 s), and the following ones are mixed with it until it has
// decayed. A Reader recognises these, counts them (RawTimes) and passes them on
// as published; that is the default because it is what others computed with.
// Whoever reads must bring them to scale: a logarithm does, min-max scaling does
// not. With IgnoreJitter all 15 HH_jit columns are 0 in every row, which says
// nothing instead of something odd.
//
// They are good for one thing: the data set has no column of time, but such a
// row's time is known. Clock makes times of all rows of a table from them.
package nbaiot

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Botnets gives the two families of attacks, in the order of Attacks.
func Botnets() []string { return []string{"gafgyt", "mirai"} }

// Attacks gives the attacks of a family as the tables are named, none for a
// name that is not a family.
func Attacks(botnet string) []string {
	switch botnet {
	case "gafgyt":
		return []string{"combo", "junk", "scan", "tcp", "udp"}
	case "mirai":
		return []string{"ack", "scan", "syn", "udp", "udpplain"}
	}
	return nil
}

// Published gives the names of the data set's nine devices as UCI's folders
// have them. Kaggle's device number is the position, counted from 1.
func Published() []string {
	return []string{
		"Danmini_Doorbell", "Ecobee_Thermostat", "Ennio_Doorbell", "Philips_B120N10_Baby_Monitor",
		"Provision_PT_737E_Security_Camera", "Provision_PT_838_Security_Camera", "Samsung_SNH_1011_N_Webcam",
		"SimpleHome_XCS7_1002_WHT_Security_Camera", "SimpleHome_XCS7_1003_WHT_Security_Camera",
	}
}

// spared reports a device that was never infected with Mirai: the data set has
// no such tables of it.
func spared(device string) bool {
	return device == "Ennio_Doorbell" || device == "Samsung_SNH_1011_N_Webcam"
}

// Device is what was found of one device.
type Device struct {
	Name    string
	Benign  Table    // the zero value when there is none
	Attacks []Attack // in the order of Botnets and Attacks
}

// Attack is the table of one attack.
type Attack struct {
	Botnet, Kind string // "mirai", "udpplain"
	Table
}

// Name is how the attack is called in reports: "mirai/udpplain".
func (a Attack) Name() string { return a.Botnet + "/" + a.Kind }

// Missing names the tables that the data set has of this device, or would have
// of one that it does not know, and that were not found. The empty list: whole.
func (d *Device) Missing() []string {
	var missing []string
	if d.Benign == (Table{}) {
		missing = append(missing, "benign")
	}
	for _, botnet := range Botnets() {
		if botnet == "mirai" && spared(d.Name) {
			continue
		}
		for _, kind := range Attacks(botnet) {
			if d.find(botnet, kind) < 0 {
				missing = append(missing, botnet+"/"+kind)
			}
		}
	}
	return missing
}

func (d *Device) find(botnet, kind string) int {
	for i, a := range d.Attacks {
		if a.Botnet == botnet && a.Kind == kind {
			return i
		}
	}
	return -1
}

// Table says where a table lies: a file, or an entry of an archive.
type Table struct {
	Path  string
	Entry string // within a .rar, else ""
}

// String names the table in errors.
func (t Table) String() string {
	if t.Entry == "" {
		return t.Path
	}
	return fmt.Sprintf("%s (%s)", t.Path, t.Entry)
}

// bare gives the lower-case name of a table without directory and suffixes, and
// whether it is one: "mirai_attacks/Scan.csv.gz" is "scan".
func bare(name string) (string, bool) {
	name = strings.ToLower(filepath.Base(filepath.ToSlash(name)))
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zip")
	return strings.CutSuffix(name, ".csv")
}

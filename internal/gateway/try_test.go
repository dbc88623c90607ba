package gateway
import ("testing";"time";"fmt")
func TestTry(t *testing.T) {
	c := homeCaptures(t)
	var cfg Config
	cfg.Learn.Snapshots = 400
	cfg.Detector.Epochs = 4
	cfg.Workers = 2
	b := time.Now()
	r, err := Replay{StateDir: t.TempDir(), Learn: []string{c.learn}, Watch: []string{c.watch}, Config: cfg}.Run(t.Context())
	fmt.Println(time.Since(b), err)
	if err != nil { t.Fatal(err) }
	for _, d := range r.Devices { fmt.Println(d.MAC, d.Name, d.LearnedSnapshots, d.WatchedSnapshots, d.FlaggedSnapshots, d.State, d.Threshold, d.Window); for _, a := range d.Alerts { fmt.Println("   ", a.Start, a.FirstPacket, a.Reason)} }
	fmt.Println(c.webcam.MAC, c.attack, r.Packets, r.Ledger)
}

package follower

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"bellwether/internal/canonical"
	"bellwether/internal/contract"
	"bellwether/internal/durable"
	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// The bounds of the outbox.
const (
	MaxWaiting      = 4096     // orders without an answer
	MaxWaitingBytes = 32 << 20 // of their contents
	keepSettled     = 1024     // answers that are remembered, for orders that come again
	compactAbove    = 4 << 20  // bytes of the journal, when most of it is settled
)

// ErrFull is the error of an order that the outbox has no room for.
var ErrFull = errors.New("the outbox is full: wait for receipts, then give the order again")

// Result is what became of an order.
type Result struct {
	_      struct{}      `cbor:",toarray"`
	Number uint64        // of the order in this outbox
	N      uint64        // of the transaction
	ID     zone.HID      // its H-ID
	Block  uint64        // that it stands in
	Code   contract.Code // why it was refused; empty: it stands on the ledger
}

// Answer is what an order comes to: its result, and for a read that was allowed,
// after it, the object or that it was lost.
type Answer struct {
	Result *Result
	Object *Message // the message that made the newest version
	Lost   bool     // with the connection, or by the master
}

// entry is an order that the outbox has taken.
type entry struct {
	number  uint64
	id      string
	ticket  uint64 // serial of the ticket, for an association
	op      contract.Op
	to      zone.MemberID
	seal    bool
	size    int
	order   int // record of the order
	signed  int // record of the newest signed form, -1: none
	n       uint64
	hid     zone.HID
	settled *Result
}

// The records of the outbox.
const (
	recordHead uint8 = iota + 1
	recordOrder
	recordSigned
	recordSettled
)

type headRecord struct {
	_      struct{} `cbor:",toarray"`
	Type   uint8
	Number uint64 // of the newest order so far
	Serial uint64 // of the newest ticket that was associated with
	Asked  uint64 // and that an association was ordered with
	Last   uint64 // the newest N that has a receipt
}

type orderRecord struct {
	_      struct{} `cbor:",toarray"`
	Type   uint8
	Number uint64
	Serial uint64 // of the ticket
	Order  Order
}

type signedRecord struct {
	_       struct{} `cbor:",toarray"`
	Type    uint8
	Number  uint64
	N       uint64
	ID      zone.HID
	Object  []byte
	Payload []byte
}

type settledRecord struct {
	_      struct{} `cbor:",toarray"`
	Type   uint8
	Name   string // the order's ID
	Result Result
	Serial uint64
}

// outbox keeps the orders of the application until the ledger has them: durably,
// in order, and each once. Its file is a journal of kind "outbox".
type outbox struct {
	mu      sync.Mutex
	path    string
	log     *journal.Journal
	bytes   int64 // of the journal, about
	number  uint64
	serial  uint64   // of the newest ticket that was associated with
	asked   uint64   // and that an association was ordered with
	last    uint64   // the newest N that has a receipt
	content int      // bytes of what waits
	waiting []*entry // not settled, by number
	settled []*entry // the newest, oldest first
	named   map[string]*entry
	watch   map[uint64][]chan<- Answer
	wake    chan struct{} // there is something to sign
}

const outboxKind = "outbox"

func openOutbox(path string) (*outbox, error) {
	o := &outbox{path: path, named: map[string]*entry{}, watch: map[uint64][]chan<- Answer{}, wake: make(chan struct{}, 1)}
	if err := os.Remove(path + newSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var err error
	o.log, err = journal.Open(path, outboxKind, o.replay)
	if err != nil {
		return nil, err
	}
	return o, nil
}

const newSuffix = ".new"

// replay takes a record of the journal.
func (o *outbox) replay(rec int, payload []byte) error {
	if len(payload) < 2 {
		return fmt.Errorf("%s: record %d is none of an outbox", o.path, rec)
	}
	o.bytes += int64(len(payload))
	var err error
	switch payload[1] {
	case recordHead:
		var r headRecord
		if err = canonical.Unmarshal(payload, &r); err == nil {
			o.number, o.serial, o.asked, o.last = r.Number, r.Serial, r.Asked, r.Last
		}
	case recordOrder:
		var r orderRecord
		if err = canonical.Unmarshal(payload, &r); err == nil {
			o.add(newEntry(&r, rec))
		}
	case recordSigned:
		var r signedRecord
		if err = canonical.Unmarshal(payload, &r); err == nil {
			if e := o.find(r.Number); e != nil {
				e.signed, e.n, e.hid = rec, r.N, r.ID
			}
		}
	case recordSettled:
		var r settledRecord
		if err = canonical.Unmarshal(payload, &r); err == nil {
			o.close(&r)
		}
	default:
		err = errors.New("not a record of an outbox")
	}
	if err != nil {
		return fmt.Errorf("%s: record %d: %w", o.path, rec, err)
	}
	return nil
}

func newEntry(r *orderRecord, rec int) *entry {
	return &entry{number: r.Number, id: r.Order.ID, ticket: r.Serial, op: r.Order.Op, to: r.Order.To, seal: r.Order.Seal,
		size: len(r.Order.Content), order: rec, signed: -1}
}

func (o *outbox) add(e *entry) {
	o.number = max(o.number, e.number)
	o.asked = max(o.asked, e.ticket)
	o.content += e.size
	o.waiting = append(o.waiting, e)
	if e.id != "" {
		o.named[e.id] = e
	}
}

// find gives the waiting entry with a number.
func (o *outbox) find(number uint64) *entry {
	i, ok := slices.BinarySearchFunc(o.waiting, number, func(e *entry, n uint64) int {
		switch {
		case e.number < n:
			return -1
		case e.number > n:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return o.waiting[i]
}

// close moves an entry from those that wait to those that are settled.
func (o *outbox) close(r *settledRecord) {
	e := o.find(r.Result.Number)
	if e == nil { // settled before the journal was written anew
		e = &entry{number: r.Result.Number, id: r.Name, ticket: r.Serial}
	} else {
		i := slices.Index(o.waiting, e)
		o.waiting = slices.Delete(o.waiting, i, i+1)
		o.content -= e.size
	}
	e.settled = &r.Result
	o.number = max(o.number, e.number)
	if r.Result.Code == "" {
		o.serial, o.last = max(o.serial, e.ticket), max(o.last, r.Result.N)
	}
	o.settled = append(o.settled, e)
	if e.id != "" {
		o.named[e.id] = e
	}
	for len(o.settled) > keepSettled {
		old := o.settled[0]
		o.settled = o.settled[1:]
		if old.id != "" && o.named[old.id] == old {
			delete(o.named, old.id)
		}
	}
}

// accept takes an order: when it returns, the order is durable. An order whose ID
// is known is that one. Answers come over the channel, which has to have room for
// two; nil: nobody waits for them.
func (o *outbox) accept(order Order, result chan<- Answer) (number uint64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e := o.named[order.ID]; order.ID != "" && e != nil {
		o.tell(e, result)
		return e.number, nil
	}
	if len(o.waiting) >= MaxWaiting || o.content+len(order.Content) > MaxWaitingBytes {
		return 0, ErrFull
	}
	r := orderRecord{Type: recordOrder, Number: o.number + 1, Order: order}
	rec := o.log.Len()
	if err := o.append(r); err != nil {
		return 0, err
	}
	e := newEntry(&r, rec)
	o.add(e)
	o.tell(e, result)
	o.wakeUp()
	return e.number, nil
}

// wakeUp says that there may be something to sign.
func (o *outbox) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// associate orders an association, if there is none with this ticket or a newer
// one yet.
func (o *outbox) associate(ticket []byte, serial uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if serial <= o.asked {
		return nil
	}
	r := orderRecord{Type: recordOrder, Number: o.number + 1, Serial: serial, Order: Order{Ticket: ticket}}
	rec := o.log.Len()
	if err := o.append(r); err != nil {
		return err
	}
	o.add(newEntry(&r, rec))
	return nil
}

// tell sends the result of an entry now, or when it is there.
func (o *outbox) tell(e *entry, result chan<- Answer) {
	switch {
	case result == nil:
	case e.settled != nil:
		result <- Answer{Result: e.settled}
	default:
		o.watch[e.number] = append(o.watch[e.number], result)
	}
}

// append makes records durable.
func (o *outbox) append(records ...any) error {
	payloads := make([][]byte, len(records))
	for i, r := range records {
		var err error
		if payloads[i], err = canonical.Marshal(r); err != nil {
			return err
		}
		o.bytes += int64(len(payloads[i]))
	}
	return o.log.Append(payloads...)
}

// doubtful gives the entries that are signed and not settled, by N: they may
// stand on the ledger.
func (o *outbox) doubtful() []*entry {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []*entry
	for _, e := range o.waiting {
		if e.signed >= 0 {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *entry) int {
		if a.n < b.n {
			return -1
		}
		return 1
	})
	return found
}

// next gives the entry that is to be signed next, without those of batch: an
// association before all else; after that, if it may speak, the oldest order. Nil:
// none.
func (o *outbox) next(maySpeak bool, batch ...*entry) *entry {
	o.mu.Lock()
	defer o.mu.Unlock()
	var first *entry
	for _, e := range o.waiting {
		switch {
		case e.signed >= 0 || slices.Contains(batch, e):
		case e.ticket > 0:
			return e
		case first == nil && maySpeak:
			first = e
		}
		if first != nil && o.asked == o.serial { // there is no association
			break
		}
	}
	return first
}

// read gives an entry's order.
func (o *outbox) read(e *entry) (*Order, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var r orderRecord
	if err := o.record(e.order, &r); err != nil {
		return nil, err
	}
	return &r.Order, nil
}

func (o *outbox) record(rec int, v any) error {
	b, err := o.log.Read(rec)
	if err != nil {
		return err
	}
	return canonical.Unmarshal(b, v)
}

// signedForm is an order as a transaction.
type signedForm struct {
	n               uint64
	id              zone.HID
	object, payload []byte
}

// sign makes the signed forms of entries durable, before they are sent.
func (o *outbox) sign(batch []*entry, forms []signedForm) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	rec := o.log.Len()
	records := make([]any, len(batch))
	for i, e := range batch {
		records[i] = signedRecord{Type: recordSigned, Number: e.number, N: forms[i].n, ID: forms[i].id, Object: forms[i].object, Payload: forms[i].payload}
	}
	if err := o.append(records...); err != nil {
		return err
	}
	for i, e := range batch {
		e.signed, e.n, e.hid = rec+i, forms[i].n, forms[i].id
	}
	return nil
}

// form gives the signed form of an entry.
func (o *outbox) form(e *entry) (object, payload []byte, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var r signedRecord
	if err := o.record(e.signed, &r); err != nil {
		return nil, nil, err
	}
	return r.Object, r.Payload, nil
}

// again takes back the signature of an entry of which nothing is on the ledger.
func (o *outbox) again(e *entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e.signed = -1
}

// settle says what became of entries, durably, and tells who waits for it.
func (o *outbox) settle(results ...Result) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	records := make([]any, 0, len(results))
	reads := map[uint64]bool{}
	for _, r := range results {
		if e := o.find(r.Number); e != nil {
			reads[r.Number] = e.op == contract.OpRead
			records = append(records, settledRecord{Type: recordSettled, Name: e.id, Result: r, Serial: e.ticket})
		}
	}
	if err := o.append(records...); err != nil {
		return err
	}
	for _, r := range records {
		s := r.(settledRecord)
		o.close(&s)
		o.pass(s.Result.Number, Answer{Result: &s.Result}, reads[s.Result.Number] && s.Result.Code == "")
	}
	if o.bytes > compactAbove && int64(o.content) < o.bytes/8 {
		return o.compact()
	}
	return nil
}

// answer tells who waits for it what a read found.
func (o *outbox) answer(number uint64, a Answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pass(number, a, false)
}

// pass tells an answer, and whether another one will come.
func (o *outbox) pass(number uint64, a Answer, more bool) {
	for _, c := range o.watch[number] {
		select {
		case c <- a:
		default: // no room: who waits broke the agreement
		}
	}
	if !more {
		delete(o.watch, number)
	}
}

// forget takes away who waits for a result.
func (o *outbox) forget(number uint64, result chan<- Answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watch[number] = slices.DeleteFunc(o.watch[number], func(c chan<- Answer) bool { return c == result })
	if len(o.watch[number]) == 0 {
		delete(o.watch, number)
	}
}

// compact writes the journal anew without what nobody needs any more, and puts it
// in the old one's place.
func (o *outbox) compact() (err error) {
	path := o.path + newSuffix
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	log, err := journal.Open(path, outboxKind, nil)
	if err != nil {
		return err
	}
	size, moved, err := o.copyTo(log)
	if closed := log.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := o.log.Close(); err != nil {
		return err
	}
	if err := os.Rename(path, o.path); err != nil {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(o.path)); err != nil {
		return err
	}
	if o.log, err = journal.Open(o.path, outboxKind, nil); err != nil {
		return err
	}
	o.bytes = size
	for e, at := range moved {
		e.order, e.signed = at[0], at[1]
	}
	return nil
}

// copyTo writes what is still needed, and says where the entries went.
func (o *outbox) copyTo(log *journal.Journal) (size int64, moved map[*entry][2]int, err error) {
	moved = map[*entry][2]int{}
	put := func(b []byte, failed error) int {
		rec := log.Len()
		if err = cmp.Or(err, failed); err == nil {
			size += int64(len(b))
			err = log.Append(b)
		}
		return rec
	}
	put(canonical.Marshal(headRecord{Type: recordHead, Number: o.number, Serial: o.serial, Asked: o.asked, Last: o.last}))
	for _, e := range o.settled {
		if e.id != "" {
			put(canonical.Marshal(settledRecord{Type: recordSettled, Name: e.id, Result: *e.settled, Serial: e.ticket}))
		}
	}
	for _, e := range o.waiting {
		at := [2]int{put(o.log.Read(e.order)), -1}
		if e.signed >= 0 {
			at[1] = put(o.log.Read(e.signed))
		}
		moved[e] = at
	}
	return size, moved, err
}

// counts gives how many orders wait, and how many of them are signed.
func (o *outbox) counts() (waiting, signed int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.waiting {
		if e.signed >= 0 {
			signed++
		}
	}
	return len(o.waiting), signed
}

// associateAgain lets an association be ordered anew with the ticket that was
// refused.
func (o *outbox) associateAgain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = o.serial
	for _, e := range o.waiting {
		o.asked = max(o.asked, e.ticket)
	}
}

// newest gives the newest number that has a receipt, and the serial of the newest
// ticket that was associated with.
func (o *outbox) newest() (n, serial uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last, o.serial
}

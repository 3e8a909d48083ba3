package accounts

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// event is a record that is being folded.
type event struct {
	entry   *eventlog.Entry
	payload *wabastreamv1.Event // nil if it concerns no value of the state
	// at is the provider's time; zero if there is none that can be believed.
	at      time.Time
	changes []*wabastreamv1.AccountChange
	// stale says that it is late for a value.
	stale bool
	// origin is what all that comes from the event says of it; nil before anything does.
	origin *wabastreamv1.Provenance
}

func newEvent(entry *eventlog.Entry) event {
	e := event{entry: entry, at: believed(entry.OccurTime, entry.AppendTime)}
	if !concerns(entry.Type) {
		return e
	}
	e.payload = new(wabastreamv1.Event)
	if proto.Unmarshal(entry.Payload, e.payload) != nil {
		e.payload = nil // nothing that the front has stored: its header still tells
	}
	return e
}

// believed is the time by which events are put in order; zero if there is none.
func believed(occurred, received time.Time) time.Time {
	if occurred.After(received.Add(maxAhead)) {
		return time.Time{}
	}
	return occurred
}

// provenance says that something of an account is from this event. The cursor is left
// to whoever shows it: a log that is imported has others.
func (e *event) provenance(waba string) *wabastreamv1.Provenance {
	if e.origin == nil {
		e.origin = &wabastreamv1.Provenance{
			EventId:     e.entry.ID.String(),
			Sequence:    uint64(e.entry.Position.Sequence),
			OccurTime:   stampOf(e.entry.OccurTime),
			ReceiveTime: stampOf(e.entry.AppendTime),
			EventType:   e.entry.Type,
		}
	}
	p := &wabastreamv1.Provenance{
		EventId: e.origin.GetEventId(), Sequence: e.origin.GetSequence(), EventType: e.origin.GetEventType(),
		OccurTime: e.origin.GetOccurTime(), ReceiveTime: e.origin.GetReceiveTime(), // never changed, so shared
	}
	if waba != e.entry.WABAID {
		p.WabaId = e.entry.WABAID
	}
	return p
}

func stampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// late reports whether the event is older than what a value came from.
func (e *event) late(origin *wabastreamv1.Provenance) bool {
	if origin == nil {
		return false
	}
	return e.before(believed(timeOf(origin.GetOccurTime()), timeOf(origin.GetReceiveTime())))
}

func (e *event) before(at time.Time) bool {
	return !at.IsZero() && !e.at.IsZero() && e.at.Before(at)
}

// value is what an account or a number has of one kind.
type value interface {
	comparable
	proto.Message
	GetOrigin() *wabastreamv1.Provenance
}

// change is what an event does to one value.
type change[V value] struct {
	// place is where the value is.
	place *V
	// with makes the new value.
	with func(origin *wabastreamv1.Provenance) V
	// wrap says which value it is.
	wrap func(V) *wabastreamv1.AccountValue
	// direction is what it means if it is another value than before, or news all the
	// same.
	direction wabastreamv1.ChangeDirection
	news      bool
	// beyondTime has it apply to what came from a later event too.
	beyondTime bool
}

// subject is whose values an event changes.
type subject struct {
	waba, phone string
	// touched is called if something is to be stored, and told whether it is a value.
	touched func(changed bool)
}

// set gives a value to a place, unless the event is late for it.
func set[V value](e *event, of subject, c change[V]) {
	var none V
	previous := *c.place
	told := &wabastreamv1.AccountChange{
		Origin:        e.provenance(of.waba),
		WabaId:        of.waba,
		BusinessPhone: of.phone,
		Current:       c.wrap(c.with(nil)),
		Direction:     c.direction,
	}
	if previous == none {
		*c.place = c.with(e.provenance(of.waba))
		of.touched(true)
		e.changes = append(e.changes, told)
		return
	}
	origin := previous.GetOrigin()
	told.Previous = c.wrap(previous)
	told.Stale = e.late(origin) && !c.beyondTime
	if !c.news && proto.Equal(c.with(origin), previous) {
		told.Direction = wabastreamv1.ChangeDirection_CHANGE_DIRECTION_CONFIRMED
	}
	if told.GetStale() {
		e.stale = true
		origin.StaleCount++
		of.touched(false)
	} else {
		next := e.provenance(of.waba)
		next.StaleCount = origin.GetStaleCount()
		*c.place = c.with(next)
		of.touched(true)
	}
	e.changes = append(e.changes, told)
}

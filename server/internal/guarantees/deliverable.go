package guarantees

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// maxEventBytes is what the contract bounds an event to, its raw JSON included.
const maxEventBytes = 2 << 20

// Deliverable checks that every event in the log can be sent to any client: it
// marshals to protobuf and to JSON and is the same when it comes back, fits the
// contract's size, and has what every event has. It counts events of the log.
func Deliverable(h *History) (checked int, err error) {
	f := &findings{name: "deliverable"}
	for _, e := range h.Log {
		f.checked++
		for _, problem := range []error{throughProto(e), throughJSON(e), whole(e)} {
			if problem != nil {
				f.breakAt("the log", "event %d (%s, id %s): %v", e.GetSequence(), e.GetType(), e.GetId(), problem)
			}
		}
	}
	return f.result()
}

func throughProto(e *wabastreamv1.Event) error {
	b, err := proto.Marshal(e)
	if err != nil {
		return fmt.Errorf("marshal: %w", err)
	}
	if len(b) > maxEventBytes {
		return fmt.Errorf("it takes %d bytes, at most %d are allowed", len(b), maxEventBytes)
	}
	back := new(wabastreamv1.Event)
	if err := proto.Unmarshal(b, back); err != nil {
		return fmt.Errorf("unmarshal: %w", err)
	}
	return requireSame(e, back, "protobuf")
}

func throughJSON(e *wabastreamv1.Event) error {
	b, err := protojson.Marshal(e)
	if err != nil {
		return fmt.Errorf("marshal to JSON: %w", err)
	}
	back := new(wabastreamv1.Event)
	if err := protojson.Unmarshal(b, back); err != nil {
		return fmt.Errorf("unmarshal from JSON: %w", err)
	}
	return requireSame(e, back, "JSON")
}

func requireSame(e, back *wabastreamv1.Event, through string) error {
	if !proto.Equal(e, back) {
		return fmt.Errorf("it is another one after it went through %s", through)
	}
	return nil
}

// whole checks what no event is without.
func whole(e *wabastreamv1.Event) error {
	switch {
	case len(e.GetId()) != 32:
		return fmt.Errorf("its id has %d characters, not 32", len(e.GetId()))
	case e.GetSequence() == 0:
		return errors.New("it has no sequence")
	case e.GetType() == "":
		return errors.New("it has no type")
	case e.GetSeverity() == wabastreamv1.Severity_SEVERITY_UNSPECIFIED:
		return errors.New("it has no severity")
	case e.GetSource() == "" || e.GetProvider() == wabastreamv1.Provider_PROVIDER_UNSPECIFIED:
		return errors.New("it does not say where it came from")
	case !e.GetReceiveTime().IsValid():
		return errors.New("it does not say when it was stored")
	case e.GetPayload() == nil:
		return errors.New("it has no payload")
	default:
		return nil
	}
}

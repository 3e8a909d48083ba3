package translate

import (
	"bytes"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// callback is one callback on its way to become events.
type callback struct {
	source string
	doc    *document
	root   value
	// field is empty when the callback has no usable one; value is its content.
	field   string
	value   value
	subject subject
}

// subject is what a callback is about.
type subject struct {
	wabaID, phone, phoneNumberID string
	// oversize says that one of them was too long to be kept here.
	oversize bool
}

func newCallback(source string, doc *document) *callback {
	c := &callback{source: source, doc: doc, root: doc.root()}
	c.value = c.root.member("value")
	if field := c.root.member("field"); field.kind() == kindString {
		c.field = field.text()
	}
	c.subject = c.findSubject()
	return c
}

// whole is the callback as one event.
func (c *callback) whole() Event {
	event := c.newEvent(c.wholeID(), c.typeOf(c.typeSuffix()), momentOf(c.value.member("time")))
	if c.doc.depth <= MaxDepth {
		c.fillPayload(event.Payload)
	}
	c.attach(&event, c.doc.body)
	return event
}

func (c *callback) wholeID() [20]byte {
	if c.doc.depth > MaxDepth {
		return eventID(restDigest(c.source, compact(c.doc)), 0)
	}
	return eventID(restDigest(c.source, newCanonicalizer(c.doc).value(c.root)), 0)
}

// newEvent fills everything but the payload arm.
func (c *callback) newEvent(id [20]byte, typ string, occurred moment) Event {
	return Event{
		ID:            id,
		Type:          typ,
		Severity:      severityOf(typ),
		WABAID:        c.subject.wabaID,
		BusinessPhone: c.subject.phone,
		OccurTime:     occurred.at,
		Timed:         occurred.given(),
		Payload: &wabastreamv1.Event{
			Provider:      wabastreamv1.Provider_PROVIDER_NXCLOUD,
			PhoneNumberId: c.subject.phoneNumberID,
			OccurTimeText: occurred.unparsed(),
		},
	}
}

// attach gives an event its JSON: beside a typed payload, or inside an
// unrecognized one when there is no typed payload or it does not hold all that
// was sent.
func (c *callback) attach(event *Event, raw []byte) {
	payload := event.Payload
	if payload.Payload != nil && !c.subject.oversize && proto.Size(payload) <= MaxTypedBytes {
		event.Raw = raw
		return
	}
	payload.Payload = &wabastreamv1.Event_Unrecognized{Unrecognized: &wabastreamv1.Unrecognized{
		Field: cutText(c.root.member("field").text()),
		Json:  string(bytes.Trim(raw, " \t\r\n")),
	}}
}

// cutText cuts a text to MaxTextBytes without cutting a character in two.
func cutText(text string) string {
	if len(text) <= MaxTextBytes {
		return text
	}
	end := MaxTextBytes
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

package translate

import (
	"strings"
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
	if c.isTyped(event.Payload) {
		event.Raw = c.doc.body
	} else {
		event.Payload.Payload = c.unrecognized(c.doc.text)
	}
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

// isTyped reports whether a payload stays as it is: an event's JSON then goes
// beside it. Otherwise there is no typed payload, or it does not hold all that was
// sent, and the JSON goes inside an unrecognized one.
func (c *callback) isTyped(payload *wabastreamv1.Event) bool {
	return payload.Payload != nil && !c.subject.oversize && c.fits(payload)
}

// fits reports whether a payload is within MaxTypedBytes. It seldom has to be
// measured: a payload has each text of its callback once at most, with less around
// it than JSON has, so it is never twice as large.
func (c *callback) fits(payload *wabastreamv1.Event) bool {
	return len(c.doc.text) <= MaxTypedBytes/2 || proto.Size(payload) <= MaxTypedBytes
}

func (c *callback) unrecognized(json string) *wabastreamv1.Event_Unrecognized {
	return &wabastreamv1.Event_Unrecognized{Unrecognized: &wabastreamv1.Unrecognized{
		Field: cutText(c.root.member("field").text()),
		Json:  strings.Trim(json, " \t\r\n"),
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

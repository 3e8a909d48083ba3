package translate

import (
	"bytes"
	"slices"
)

// A user_preferences callback is several events: one an entry of its array. Each
// carries the callback reduced to its entry, so that what a person chose can be
// read, kept and deleted without the others' data: the array holds only the
// entry, and contacts loses those of other entries.

// preferences is a user_preferences callback on its way to be split.
type preferences struct {
	*callback
	entries splitArray
	// waIDs are the persons of the entries; empty where an entry names none.
	waIDs []string
	// contacts is empty when the callback has no such array. Of its elements,
	// shared are those of no entry, which every entry keeps; owned are those of
	// entries, by person.
	contacts splitArray
	shared   []element
	owned    map[string][]ownedContact
}

// splitArray is an array in pieces.
type splitArray struct {
	value
	elements []element
}

// cut is an array and the elements to keep of it.
type cut struct {
	splitArray
	kept []element
}

// element is an element of an array and where the text that divides it from the
// element before it begins.
type element struct {
	value
	gap int32
}

// ownedContact is a contact and the number of shared ones before it.
type ownedContact struct {
	element
	sharedBefore int
}

// preferenceEvents returns an event for each entry, or nil when the callback has
// no entries or must stay whole.
func (c *callback) preferenceEvents() []Event {
	if c.field != fieldUserPreferences || c.doc.depth > MaxDepth {
		return nil
	}
	entries := split(c.value.member("user_preferences"))
	if len(entries.elements) == 0 || len(entries.elements) > MaxEntries {
		return nil
	}
	p := preferences{callback: c, entries: entries, contacts: split(c.value.member("contacts"))}
	p.findPersons()
	p.sortContacts()
	raws, fit := p.raws()
	if !fit {
		return nil
	}
	return p.events(raws)
}

// split returns no elements for what is not an array.
func split(array value) splitArray {
	s := splitArray{value: array}
	gap := array.node().start
	for v := range array.elements() {
		s.elements = append(s.elements, element{v, gap})
		gap = v.node().end
	}
	return s
}

func (p *preferences) findPersons() {
	p.waIDs = make([]string, len(p.entries.elements))
	for i, entry := range p.entries.elements {
		p.waIDs[i] = entry.member("wa_id").text()
	}
}

// sortContacts tells the contacts that belong to entries from the others.
func (p *preferences) sortContacts() {
	p.owned = make(map[string][]ownedContact, len(p.waIDs))
	for _, waID := range p.waIDs {
		p.owned[waID] = nil
	}
	for _, contact := range p.contacts.elements {
		waID := contact.member("wa_id").text()
		if owned, ok := p.owned[waID]; ok && waID != "" {
			p.owned[waID] = append(owned, ownedContact{contact, len(p.shared)})
		} else {
			p.shared = append(p.shared, contact)
		}
	}
}

// raws returns the reduced callback of each entry, and false when they are too
// large together: before any is made where that can be told from what all of
// them repeat, else as soon as they are.
func (p *preferences) raws() (raws [][]byte, fit bool) {
	if len(p.waIDs) == 1 {
		return [][]byte{p.doc.body}, true
	}
	limit := min(MaxExpandedBytes, maxExpansion*len(p.doc.body))
	if p.repeatedBytes() > limit/len(p.waIDs) {
		return nil, false
	}
	raws = make([][]byte, len(p.waIDs))
	total := 0
	var scratch []byte
	for i := range raws {
		scratch = p.appendReduced(scratch[:0], i)
		if total += len(scratch); total > limit {
			return nil, false
		}
		raws[i] = bytes.Clone(scratch)
	}
	return raws, true
}

// repeatedBytes is what every reduced callback has at least: all that is not in
// the two arrays, and the contacts of no entry.
func (p *preferences) repeatedBytes() int {
	n := len(p.doc.body) - len(p.entries.source())
	if p.contacts.kind() == kindArray {
		n -= len(p.contacts.source())
	}
	for _, contact := range p.shared {
		n += len(contact.source())
	}
	return n
}

// appendReduced appends the callback reduced to one entry, all else as received.
func (p *preferences) appendReduced(dst []byte, entry int) []byte {
	cuts := []cut{
		{p.entries, p.entries.elements[entry : entry+1]},
		{p.contacts, p.keptContacts(p.waIDs[entry])},
	}
	slices.SortFunc(cuts, func(a, b cut) int { return int(a.at - b.at) })
	var done int32
	for _, cut := range cuts {
		if cut.kind() != kindArray {
			continue
		}
		dst = append(dst, p.doc.body[done:cut.node().start]...)
		dst = cut.appendReduced(dst, cut.kept)
		done = cut.node().end
	}
	return append(dst, p.doc.body[done:]...)
}

// appendReduced appends an array's text with only some of its elements. White
// space before the first and after the last element of all stays, and what
// divides a kept element from the one before it.
func (s splitArray) appendReduced(dst []byte, kept []element) []byte {
	if len(s.elements) == 0 {
		return append(dst, s.source()...)
	}
	body, first, last := s.doc.body, s.elements[0], s.elements[len(s.elements)-1]
	dst = append(dst, body[s.node().start:first.node().start]...)
	for i, e := range kept {
		if i > 0 {
			dst = append(dst, body[e.gap:e.node().start]...)
		}
		dst = append(dst, e.source()...)
	}
	return append(dst, body[last.node().end:s.node().end]...)
}

// keptContacts are the contacts of the callback reduced to a person's entry, in
// the order sent.
func (p *preferences) keptContacts(waID string) []element {
	if len(p.owned[waID]) == 0 {
		return p.shared
	}
	kept := make([]element, 0, len(p.shared)+len(p.owned[waID]))
	done := 0
	for _, own := range p.owned[waID] {
		kept = append(kept, p.shared[done:own.sharedBefore]...)
		kept = append(kept, own.element)
		done = own.sharedBefore
	}
	return append(kept, p.shared[done:]...)
}

func (p *preferences) events(raws [][]byte) []Event {
	canon := newCanonicalizer(p.doc)
	rest := restDigest(p.source, p.canonicalRest(canon))
	occurrences := make(map[digest]int, len(raws))
	events := make([]Event, len(raws))
	for i, entry := range p.entries.elements {
		contacts := p.owned[p.waIDs[i]]
		content := entryDigest(canon, rest, entry.value, contacts)
		event := p.newEvent(
			eventID(content, occurrences[content]),
			p.typeOf(entry.member("category"), entry.member("value")),
			momentOf(entry.member("timestamp"), p.value.member("time")),
		)
		occurrences[content]++
		if entry.kind() == kindObject {
			fillPreference(event.Payload, p.value, entry.value, profileName(contacts))
		}
		if p.isTyped(event.Payload) {
			event.Raw = raws[i]
		} else {
			event.Payload.Payload = p.unrecognized(string(raws[i]))
		}
		events[i] = event
	}
	return events
}

// canonicalRest is what the reduced callbacks have in common, in canonical form:
// a NUL, which that form has nowhere else, in place of the entries, and only the
// shared contacts.
func (p *preferences) canonicalRest(canon *canonicalizer) []byte {
	return canon.value(p.root,
		replacement{p.entries.value, []byte{0}},
		replacement{p.contacts.value, bytes.Clone(canon.array(p.shared))})
}

func profileName(contacts []ownedContact) string {
	for _, contact := range contacts {
		if name := contact.member("profile").member("name").text(); name != "" {
			return name
		}
	}
	return ""
}

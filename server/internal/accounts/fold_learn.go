package accounts

import (
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// learn takes note of who is named: accounts, numbers, and which belong together. Only
// a callback that names both teaches which account a number belongs to: what was
// attributed by configuration, or learned, is not learned from.
func (b *batch) learn(e *event) error {
	h := &e.entry.Header
	if h.WABAID == "" {
		return nil
	}
	if _, err := b.account(e, h.WABAID); err != nil {
		return err
	}
	for _, phone := range e.numbersNamed() {
		if _, err := b.number(e, h.WABAID, phone); err != nil {
			return err
		}
		if err := b.own(e, phone); err != nil {
			return err
		}
		if h.WABASource != eventlog.WABAPayload {
			continue
		}
		if err := b.teach(e, phone); err != nil {
			return err
		}
	}
	return b.learnID(e)
}

// numbersNamed are the numbers that an event names together with its account. One that
// it removes from the account is none of them.
func (e *event) numbersNamed() []string {
	var sent string
	u := e.payload.GetAccountUpdate()
	switch {
	case u != nil:
		sent = u.GetPhoneNumber()
	case e.payload.GetPhoneNumberNameUpdate() != nil:
		sent = e.payload.GetPhoneNumberNameUpdate().GetDisplayPhoneNumber()
	case e.payload.GetPhoneNumberQualityUpdate() != nil:
		sent = e.payload.GetPhoneNumberQualityUpdate().GetDisplayPhoneNumber()
	}
	header, inPayload := e.entry.BusinessPhone, normalized(sent)
	if u.GetEvent() == wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_PHONE_NUMBER_REMOVED {
		if header == inPayload || inPayload == "" {
			return nil
		}
		inPayload = ""
	}
	var phones []string
	if header != "" {
		phones = append(phones, header)
	}
	if inPayload != "" && inPayload != header {
		phones = append(phones, inPayload)
	}
	return phones
}

// own has a number belong to the event's account for whoever asks by the number alone,
// of whatever source and however the event came to its account, unless it is late.
func (b *batch) own(e *event, phone string) error {
	p, err := b.pair(ownerKey(phone))
	if err != nil || p.waba == e.entry.WABAID || e.before(p.at) {
		return err
	}
	p.pair, p.dirty = pair{waba: e.entry.WABAID, at: e.at}, true
	return nil
}

// teach has a number belong to the event's account from now on, unless the event is
// late.
func (b *batch) teach(e *event, phone string) error {
	h := &e.entry.Header
	p, err := b.pair(pairKey(h.Source, phone))
	if err != nil || p.waba == h.WABAID || e.before(p.at) {
		return err
	}
	was := p.waba
	p.pair, p.dirty = pair{waba: h.WABAID, at: e.at}, true
	if was == "" {
		return nil
	}
	if err := b.move(e, was, phone, wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_MOVED); err != nil {
		return err
	}
	return b.move(e, h.WABAID, phone, wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_SEEN)
}

// move says of a number that it left an account, or is back. What was said of it by
// name stays.
func (b *batch) move(e *event, waba, phone string, state wabastreamv1.PhoneNumberState) error {
	r, err := b.number(e, waba, phone)
	if err != nil {
		return err
	}
	held := r.message.GetPresence().GetState()
	moved := held == wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_MOVED
	back := state == wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_SEEN
	if moved != back || held == wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_REMOVED {
		return nil
	}
	of, err := b.ofNumber(e, r)
	if err != nil {
		return err
	}
	set(e, of, change[*wabastreamv1.PhoneNumberPresence]{
		place: &r.message.Presence, wrap: ofPresence, with: presence(state), direction: presenceDirection(state),
	})
	return nil
}

// learnID takes note of Meta's id of a number.
func (b *batch) learnID(e *event) error {
	h := &e.entry.Header
	id := numberID(e.entry.Payload)
	if id == "" || len(id) > eventlog.MaxTextBytes || h.WABASource != eventlog.WABAPayload {
		return nil
	}
	p, err := b.pair(idPairKey(h.Source, id))
	if err != nil || p.waba == h.WABAID || e.before(p.at) {
		return err
	}
	p.pair, p.dirty = pair{waba: h.WABAID, at: e.at}, true
	if h.BusinessPhone == "" {
		return nil
	}
	r, err := b.number(e, h.WABAID, h.BusinessPhone)
	if err != nil {
		return err
	}
	r.message.PhoneNumberId, r.dirty = id, true
	return nil
}

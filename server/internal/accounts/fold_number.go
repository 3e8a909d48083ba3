package accounts

import (
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// number returns the row of a number in an account, and makes it of the first event
// that names both. The account may be unknown.
func (b *batch) number(e *event, waba, phone string) (*row[*wabastreamv1.PhoneNumber], error) {
	r, found, err := b.numbers.row(numberKey(waba, phone))
	if err != nil || found {
		return r, err
	}
	r.message.BusinessPhone, r.message.WabaId = phone, waba
	r.message.FirstEvent = e.provenance(waba)
	b.write(inAccountKey(phone, waba), []byte{})
	of, err := b.ofNumber(e, r)
	if err != nil {
		return nil, err
	}
	set(e, of, change[*wabastreamv1.PhoneNumberPresence]{
		place: &r.message.Presence, wrap: ofPresence,
		with:      presence(wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_SEEN),
		direction: wabastreamv1.ChangeDirection_CHANGE_DIRECTION_SEEN,
	})
	return r, nil
}

// ofNumber makes the number whose values are set. Its account changes with it.
func (b *batch) ofNumber(e *event, r *row[*wabastreamv1.PhoneNumber]) (subject, error) {
	n := r.message
	of := subject{waba: n.GetWabaId(), phone: n.GetBusinessPhone()}
	var account subject
	if n.GetWabaId() != "" {
		a, err := b.account(e, n.GetWabaId())
		if err != nil {
			return subject{}, err
		}
		account = b.ofAccount(e, a)
	}
	of.touched = func(changed bool) {
		r.dirty = true
		if !changed {
			return
		}
		n.LastChange = e.provenance(n.GetWabaId())
		if account.touched != nil {
			account.touched(true)
		}
	}
	return of, nil
}

// normalized is a number that fits a key; empty if it does not.
func normalized(phone string) string {
	if phone = eventlog.NormalizePhone(phone); len(phone) > eventlog.MaxTextBytes {
		return ""
	}
	return phone
}

// numberOf is the number that an event is about: the one of its payload, else of its
// header. There is none if neither has one.
func (b *batch) numberOf(e *event, sent string) (r *row[*wabastreamv1.PhoneNumber], of subject, err error) {
	phone := normalized(sent)
	if phone == "" {
		phone = e.entry.BusinessPhone
	}
	if phone == "" {
		return nil, subject{}, nil
	}
	if r, err = b.number(e, e.entry.WABAID, phone); err != nil {
		return nil, subject{}, err
	}
	of, err = b.ofNumber(e, r)
	return r, of, err
}

func presence(state wabastreamv1.PhoneNumberState) func(*wabastreamv1.Provenance) *wabastreamv1.PhoneNumberPresence {
	return func(origin *wabastreamv1.Provenance) *wabastreamv1.PhoneNumberPresence {
		return &wabastreamv1.PhoneNumberPresence{State: state, Origin: origin}
	}
}

func (b *batch) applyPresence(e *event, phone string, state wabastreamv1.PhoneNumberState) error {
	r, of, err := b.numberOf(e, phone)
	if r == nil || err != nil {
		return err
	}
	set(e, of, change[*wabastreamv1.PhoneNumberPresence]{
		place: &r.message.Presence, wrap: ofPresence, with: presence(state), direction: presenceDirection(state),
	})
	return nil
}

func (b *batch) applyName(e *event, u *wabastreamv1.PhoneNumberNameUpdate) error {
	r, of, err := b.numberOf(e, u.GetDisplayPhoneNumber())
	if r == nil || err != nil {
		return err
	}
	set(e, of, change[*wabastreamv1.NameReview]{
		place: &r.message.NameReview, wrap: ofNameReview, direction: reviewDirection(u.GetDecision()),
		with: func(origin *wabastreamv1.Provenance) *wabastreamv1.NameReview {
			return &wabastreamv1.NameReview{
				Decision: u.GetDecision(), DecisionText: u.GetDecisionText(),
				RequestedVerifiedName: u.GetRequestedVerifiedName(),
				RejectionReason:       u.GetRejectionReason(), RejectionReasonText: u.GetRejectionReasonText(),
				Origin: origin,
			}
		},
	})
	if u.GetDecision() != wabastreamv1.ReviewDecision_REVIEW_DECISION_APPROVED {
		return nil
	}
	set(e, of, change[*wabastreamv1.VerifiedName]{
		place: &r.message.VerifiedName, wrap: ofVerifiedName,
		direction: wabastreamv1.ChangeDirection_CHANGE_DIRECTION_APPROVED,
		with: func(origin *wabastreamv1.Provenance) *wabastreamv1.VerifiedName {
			return &wabastreamv1.VerifiedName{Name: u.GetRequestedVerifiedName(), Origin: origin}
		},
	})
	return nil
}

func (b *batch) applyQuality(e *event, u *wabastreamv1.PhoneNumberQualityUpdate) error {
	r, of, err := b.numberOf(e, u.GetDisplayPhoneNumber())
	if r == nil || err != nil {
		return err
	}
	if flagged, ok := flagOf(u.GetEvent()); ok {
		set(e, of, change[*wabastreamv1.NumberQuality]{
			place: &r.message.Quality, wrap: ofQuality, direction: flagDirection(flagged),
			with: func(origin *wabastreamv1.Provenance) *wabastreamv1.NumberQuality {
				return &wabastreamv1.NumberQuality{Flagged: flagged, EventText: u.GetEventText(), Origin: origin}
			},
		})
	}
	if u.GetCurrentLimitText() == "" {
		return nil
	}
	set(e, of, change[*wabastreamv1.NumberLimit]{
		place: &r.message.Limit, wrap: ofLimit, direction: limitDirection(r.message.GetLimit(), u),
		with: func(origin *wabastreamv1.Provenance) *wabastreamv1.NumberLimit {
			return &wabastreamv1.NumberLimit{
				Limit: u.GetCurrentLimit(), LimitText: u.GetCurrentLimitText(),
				MaxDailyConversationsPerBusiness:     u.GetMaxDailyConversationsPerBusiness(),
				MaxDailyConversationsPerBusinessText: u.GetMaxDailyConversationsPerBusinessText(),
				Origin:                               origin,
			}
		},
	})
	return nil
}

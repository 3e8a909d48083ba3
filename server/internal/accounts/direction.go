package accounts

import wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"

// What changes mean.

func banDirection(state wabastreamv1.BanState) wabastreamv1.ChangeDirection {
	switch state {
	case wabastreamv1.BanState_BAN_STATE_DISABLE:
		return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_BANNED
	case wabastreamv1.BanState_BAN_STATE_REINSTATE:
		return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_REINSTATED
	case wabastreamv1.BanState_BAN_STATE_SCHEDULE_FOR_DISABLE:
		return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_BAN_SCHEDULED
	}
	return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_UNSPECIFIED
}

func reviewDirection(decision wabastreamv1.ReviewDecision) wabastreamv1.ChangeDirection {
	switch decision {
	case wabastreamv1.ReviewDecision_REVIEW_DECISION_APPROVED:
		return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_APPROVED
	case wabastreamv1.ReviewDecision_REVIEW_DECISION_REJECTED:
		return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_REJECTED
	}
	return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_UNSPECIFIED
}

func presenceDirection(state wabastreamv1.PhoneNumberState) wabastreamv1.ChangeDirection {
	switch state {
	case wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_SEEN:
		return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_SEEN
	case wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_ADDED:
		return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_ADDED
	case wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_REMOVED:
		return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_REMOVED
	case wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_MOVED:
		return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_MOVED
	}
	return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_UNSPECIFIED
}

// flagOf tells what an event says of a number's quality, if it does.
func flagOf(event wabastreamv1.PhoneNumberQualityEvent) (flagged, ok bool) {
	switch event {
	case wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_FLAGGED:
		return true, true
	case wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_UNFLAGGED:
		return false, true
	}
	return false, false
}

func flagDirection(flagged bool) wabastreamv1.ChangeDirection {
	if flagged {
		return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_FLAGGED
	}
	return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_UNFLAGGED
}

// limitDirection compares the limits, where both are known: the enum has them in order.
// Otherwise the event says.
func limitDirection(previous *wabastreamv1.NumberLimit, u *wabastreamv1.PhoneNumberQualityUpdate) wabastreamv1.ChangeDirection {
	before, now := previous.GetLimit(), u.GetCurrentLimit()
	if before == wabastreamv1.MessagingLimit_MESSAGING_LIMIT_UNSPECIFIED {
		before = u.GetOldLimit()
	}
	up, down := wabastreamv1.ChangeDirection_CHANGE_DIRECTION_UPGRADED, wabastreamv1.ChangeDirection_CHANGE_DIRECTION_DOWNGRADED
	unknown := wabastreamv1.MessagingLimit_MESSAGING_LIMIT_UNSPECIFIED
	switch {
	case before != unknown && now != unknown && now > before:
		return up
	case before != unknown && now != unknown && now < before:
		return down
	case u.GetEvent() == wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_UPGRADE:
		return up
	case u.GetEvent() == wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_DOWNGRADE:
		return down
	}
	return wabastreamv1.ChangeDirection_CHANGE_DIRECTION_UNSPECIFIED
}

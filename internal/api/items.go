package api

import (
	"math"
	"strconv"
)

// marshalItems writes the responses of the runtime that are lists of items, byte for byte as marshalPlain does, in a fifth of the time: they are most of what is answered.
// ok is false for other responses, and for lists with anything in them that takes more than a look: metadata, letters beyond ASCII.
func marshalItems(v any) (text []byte, ok bool) {
	switch r := v.(type) {
	case *GetRecommendationsResponse:
		return appendItems(`{"itemList":[`, r.ItemList, r.RecommendationID)
	case *GetPersonalizedRankingResponse:
		return appendItems(`{"personalizedRanking":[`, r.PersonalizedRanking, r.RecommendationID)
	}
	return nil, false
}

func appendItems(begin string, items []PredictedItem, id string) (b []byte, ok bool) {
	if items == nil || id == "" || !plain(id) {
		return nil, false
	}
	b = make([]byte, 0, len(begin)+len(id)+40+48*len(items))
	b = append(b, begin...)
	for i := range items {
		p := &items[i]
		if p.ItemID == "" || !plain(p.ItemID) || !plain(p.PromotionName) || p.Metadata != nil {
			return nil, false
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"itemId":"`...), p.ItemID...), '"')
		if p.Score != nil {
			if math.IsNaN(*p.Score) || math.IsInf(*p.Score, 0) {
				return nil, false
			}
			b = appendFloat(append(b, `,"score":`...), *p.Score)
		}
		if p.PromotionName != "" {
			b = append(append(append(b, `,"promotionName":"`...), p.PromotionName...), '"')
		}
		if p.Reason != nil {
			b = append(b, `,"reason":[`...)
			for k, reason := range p.Reason {
				if !plain(reason) {
					return nil, false
				}
				if k > 0 {
					b = append(b, ',')
				}
				b = append(append(append(b, '"'), reason...), '"')
			}
			b = append(b, ']')
		}
		b = append(b, '}')
	}
	return append(append(append(b, `],"recommendationId":"`...), id...), `"}`...), true
}

// plain reports whether a string stands in JSON as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// appendFloat writes a number as encoding/json does: as ES6 has it.
func appendFloat(b []byte, f float64) []byte {
	if n := int64(f*1e7 + 0.5); 10 <= n && n < 1e7 && float64(n)/1e7 == f { // scores have seven decimals, which are the shortest that tell the number
		places := 7
		for ; n%10 == 0; n /= 10 {
			places--
		}
		var digits [7]byte
		for k := places - 1; k >= 0; k, n = k-1, n/10 {
			digits[k] = '0' + byte(n%10)
		}
		return append(append(b, "0."...), digits[:places]...)
	}
	format := byte('f')
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	b = strconv.AppendFloat(b, f, format, -1, 64)
	if n := len(b); format == 'e' && n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' { // e-09 is e-9
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}

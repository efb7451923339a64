package rowtext

// MembersPlainly lets tests outside use the decoder that flatReader is held against.
var MembersPlainly = membersPlainly

// Package api is the surface of the service in Go: the types of the 79 operations, their constraints, and the tables that bind them.
//
// Types, constraints and tables are generated from the public service models (see apigen); what is written by hand is one way to check a
// request against its shape, one way to call an operation, and the errors. The package knows no HTTP, so package wire is the only
// place with headers and statuses.
//
// Promises: an operation runs only with a request in which every member fits the model, and if it does not, one error names every breach at once.
// Absent, null, "" and 0 are told apart where the model does. Values of members that are sensitive or can hold a user id never stand in a message.
//
// Names: a member's name with a capital, the words Arn, Id, Kms, Uri, Hpo, Tps in capitals (kmsKeyArn is KMSKeyARN). Optional numbers,
// booleans and structures are pointers, timestamps are Time, elements of lists and maps are plain values.
package api

//go:generate go run ./apigen

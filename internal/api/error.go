package api

import "fmt"

// Code is the name of an exception as it stands on the wire.
type Code string

// The exceptions of the three models.
const (
	InvalidInput          Code = "InvalidInputException"
	InvalidNextToken      Code = "InvalidNextTokenException"
	LimitExceeded         Code = "LimitExceededException"
	ResourceAlreadyExists Code = "ResourceAlreadyExistsException"
	ResourceInUse         Code = "ResourceInUseException"
	ResourceNotFound      Code = "ResourceNotFoundException"
	TooManyTagKeys        Code = "TooManyTagKeysException"
	TooManyTags           Code = "TooManyTagsException"
)

// The errors that every AWS service can give beside its model.
const (
	AccessDenied               Code = "AccessDeniedException"
	IncompleteSignature        Code = "IncompleteSignature"
	InternalFailure            Code = "InternalFailure"
	InvalidSignature           Code = "InvalidSignatureException"
	MissingAuthenticationToken Code = "MissingAuthenticationToken"
	RequestEntityTooLarge      Code = "RequestEntityTooLargeException"
	Serialization              Code = "SerializationException"
	ServiceUnavailable         Code = "ServiceUnavailable"
	Throttling                 Code = "ThrottlingException"
	UnknownOperation           Code = "UnknownOperationException"
	UnrecognizedClient         Code = "UnrecognizedClientException"
)

// Error is an answer that the client is to see. Any other error is a fault of the server: the client sees InternalFailure, and the text
// goes to the log.
type Error struct {
	Code    Code
	Message string
}

// Errorf returns an *Error with a formatted message. The message goes to the client as it is and must not name a user.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

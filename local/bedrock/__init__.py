"""An emulator of Amazon Bedrock: batch inference jobs, on-demand inference and the model catalogue.

It speaks the REST-JSON of AWS, so unmodified SDKs reach it by AWS_ENDPOINT_URL_BEDROCK and
AWS_ENDPOINT_URL_BEDROCK_RUNTIME alone. Objects and events go through whatever S3 and EventBridge
AWS_ENDPOINT_URL names.
"""

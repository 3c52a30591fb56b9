"""Plugins by which LocalStack runs without Docker and without DynamoDBLocal.jar.

`executor` runs Lambda functions as processes (`LAMBDA_RUNTIME_EXECUTOR=process`), `dynamodb` serves
DynamoDB from moto (`PROVIDER_OVERRIDE_DYNAMODB=moto`, `PROVIDER_OVERRIDE_DYNAMODBSTREAMS=moto`).
"""

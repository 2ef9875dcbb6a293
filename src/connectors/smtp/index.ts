export { SMTP } from './errors.ts'
export { smtpNotifier, type SmtpOptions } from './notifier.ts'
export { startSmtpSink, type SinkMessage, type SmtpSink } from './sink.ts'
